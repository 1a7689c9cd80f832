package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"weir/policy"
)

// reloadInterval is how often the policy file is read to see whether it changed.
// Reading a few KiB beats any notification: it also sees editors that replace the
// file by rename, mounted folders and clocks that stand still.
const reloadInterval = time.Second

// policyWatch follows one policy file.
type policyWatch struct {
	path  string
	apply func(table *policy.Table, src []byte) // called with each new table and its source, one at a time
	log   *zap.Logger

	tried   [sha256.Size]byte // content last compiled, whether it was good or not
	inUse   [sha256.Size]byte // content of the table in use
	pending [sha256.Size]byte // content seen at the last look, when it was new
	missing bool              // the file could not be read at the last look

	accepted, rejected atomic.Uint64 // changed files that were put to use, and tries that were not
}

// newPolicyWatch compiles the file for the first time.
func newPolicyWatch(path string, log *zap.Logger) (w *policyWatch, table *policy.Table, src []byte, err error) {
	if src, err = readPolicy(path); err != nil {
		return nil, nil, nil, err
	}
	if table, err = policy.Compile(path, src); err != nil {
		return nil, nil, nil, err
	}
	for _, warning := range table.Warnings {
		log.Warn(warning.Error())
	}
	digest := sha256.Sum256(src)
	return &policyWatch{path: path, log: log, tried: digest, inUse: digest, pending: digest}, table, src, nil
}

// run follows the file until ctx ends. A value on hangup asks for a look at once.
func (w *policyWatch) run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			w.reload()
		case <-ticker.C:
			w.poll()
		}
	}
}

// poll reloads the file when it changed and then stayed the same for one
// interval: a file that is still being written is not a mistake.
func (w *policyWatch) poll() {
	src, err := os.ReadFile(w.path)
	if err != nil {
		if !w.missing {
			w.log.Warn("policy file cannot be read; the policy in use stays", zap.Error(err))
		}
		w.missing = true
		return
	}
	w.missing = false
	digest := sha256.Sum256(src)
	settled := digest == w.pending
	w.pending = digest
	if settled && digest != w.tried {
		w.try(src)
	}
}

// reload reads the file because somebody asked for it, and always answers.
func (w *policyWatch) reload() {
	src, err := os.ReadFile(w.path)
	if err != nil {
		w.log.Error("policy not reloaded; the policy in use stays", zap.Error(err))
		return
	}
	w.try(src)
}

// try compiles src and puts it to use when it has no mistake.
func (w *policyWatch) try(src []byte) {
	w.tried = sha256.Sum256(src)
	table, err := policy.Compile(w.path, src)
	if err != nil {
		w.rejected.Add(1)
		w.log.Error("policy not reloaded; the policy in use stays", zap.Int("mistakes", len(mistakes(err))))
		for _, line := range mistakes(err) {
			w.log.Error(line)
		}
		return
	}
	if w.tried == w.inUse {
		w.log.Info("policy file is the policy in use", zap.String("version", table.Version))
		return
	}
	w.inUse = w.tried
	for _, warning := range table.Warnings {
		w.log.Warn(warning.Error())
	}
	w.accepted.Add(1)
	w.apply(table, src)
	fields := []zap.Field{zap.String("version", table.Version)}
	if table.Deployment != "" {
		fields = append(fields, zap.String("deployment", table.Deployment))
	}
	w.log.Info("policy reloaded", fields...)
}

// mistakes are the lines of what is wrong with a policy file.
func mistakes(err error) []string {
	var found policy.Errors
	if !errors.As(err, &found) {
		return []string{err.Error()}
	}
	lines := make([]string, len(found))
	for i, m := range found {
		lines[i] = m.Error()
	}
	return lines
}

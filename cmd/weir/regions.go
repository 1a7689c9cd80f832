package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// regionsFile is the data folder in which a shield remembers the regions that follow its
// purges, so that after a restart a purge waits for those that are not back yet.
type regionsFile string

type regionsContent struct {
	Regions []string `json:"regions"`
}

func (f regionsFile) path() string { return filepath.Join(string(f), "regions.json") }

// load returns no regions and no error before the first save.
func (f regionsFile) load() ([]string, error) {
	src, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var content regionsContent
	if err := json.Unmarshal(src, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	return content.Regions, nil
}

// save replaces the file whole: a crash leaves the old one or the new one.
func (f regionsFile) save(regions []string) (err error) {
	src, err := json.Marshal(regionsContent{regions})
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(string(f), "regions-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name()) // what could not be written is of no use
		}
	}()
	_, err = temporary.Write(src)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), f.path())
}

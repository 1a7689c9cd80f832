package main

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// containerMemory is the memory limit of the control group (version 2) that this
// process runs in, in bytes, or 0 when there is none. root is the file system.
// Limits of groups further up hold as well; the lowest counts.
func containerMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	lowest := int64(0)
	for line := range strings.Lines(string(groups)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !ok {
			continue
		}
		for {
			text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
			if limit, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil {
				if lowest == 0 || limit < lowest {
					lowest = limit
				}
			}
			if group == "" || group == "." {
				break
			}
			group = path.Dir(group)
		}
	}
	return lowest
}

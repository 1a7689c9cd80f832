package main

import (
	"testing"
	"testing/fstest"
)

func TestContainerMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, c := range []struct {
		name string
		root fstest.MapFS
		want int64
	}{
		{"nothing known", fstest.MapFS{}, 0},
		{"no limit", fstest.MapFS{
			"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n"),
		}, 0},
		{"own limit", fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("1048576\n"),
		}, 1 << 20},
		{"lower limit further up", fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("3000\n"),
			"sys/fs/cgroup/a/memory.max": file("2000\n"), "sys/fs/cgroup/memory.max": file("max\n"),
		}, 2000},
		{"in a container", fstest.MapFS{
			"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("5000\n"),
		}, 5000},
		{"version 1", fstest.MapFS{"proc/self/cgroup": file("3:memory:/a\n")}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := containerMemory(c.root); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

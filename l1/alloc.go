package l1

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
)

// sizeClasses are the sizes in which the heap gives memory, ascending, as far as the runtime tells.
var sizeClasses = sync.OnceValue(func() []int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	classes := make([]int64, 0, len(m.BySize))
	for _, class := range m.BySize {
		classes = append(classes, int64(class.Size))
	}
	return classes
})

// allocated is how many bytes of the heap n bytes take.
func allocated(n int64) int64 {
	classes := sizeClasses()
	if i, _ := slices.BinarySearch(classes, n); i < len(classes) {
		return classes[i]
	}
	step := int64(8 << 10) // a page
	if n <= 32<<10 {
		step = 1 << (bits.Len64(uint64(n)) - 3) // about as the classes are
	}
	return (n + step - 1) / step * step
}

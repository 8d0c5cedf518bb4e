package password

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// deadMemory makes the garbage collector keep up with the hashes. Each hash leaves a block of
// tens of megabytes behind. In a small heap the collector runs so rarely that several times the
// memory of the running hashes piles up: 114 MiB where two hashes of 19 MiB ran.
type deadMemory struct {
	mu     sync.Mutex
	cycles uint64 // collections that had happened when it was last looked at
	left   int    // hashes that ended since
}

// smallHeap is the largest live heap, in bytes, in which a collection is forced. In a larger heap
// it costs more than a hash, and the dead blocks are a small part of it.
const smallHeap = 128 << 20

// hashed counts a hash that has ended, and collects once as many have ended as there are places.
func (d *deadMemory) hashed(places int) {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	for _, s := range sample {
		if s.Value.Kind() != metrics.KindUint64 {
			return // a later Go without these metrics
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if cycles := sample[0].Value.Uint64(); cycles != d.cycles {
		d.cycles, d.left = cycles, 0
	}
	if d.left++; d.left < places || sample[1].Value.Uint64() > smallHeap {
		return
	}
	runtime.GC()
	d.left = 0
	d.cycles++
}

package password

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// deadMemory lets the garbage collector follow the hashes. Each leaves a block of tens
// of megabytes behind, and in a small heap the collector's pace lets several times the
// memory of the running ones pile up (114 MiB where two hashes of 19 MiB ran).
type deadMemory struct {
	mu     sync.Mutex
	cycles uint64 // collections that had happened when it was last looked at
	left   int    // hashes that ended since
}

// smallHeap is the live heap in bytes up to which a collection is forced: in a larger
// one it costs more than a hash, and the dead blocks are a small part of it.
const smallHeap = 128 << 20

// hashed counts a hash that ended, and collects once places of them are dead.
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

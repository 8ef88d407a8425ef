package host

import (
	"sync"

	"nemesis/servers/core"
	"nemesis/servers/wal"
)

// work is what some outputs of a core want of the disk, in order: records first, then the snapshot and the compaction.
type work struct {
	records   [][]byte
	afterSync []core.Message
	save      *core.Snapshot
	compact   *core.Compaction
}

func (w *work) add(o core.Output) {
	w.records = append(w.records, o.Records...)
	w.afterSync = append(w.afterSync, o.AfterSync...)
	w.save, w.compact = o.Save, o.Compact
}

func (w *work) empty() bool {
	return len(w.records) == 0 && len(w.afterSync) == 0 && w.save == nil && w.compact == nil
}

// disk does work in a goroutine of its own, as much as has gathered at a time.
type disk struct {
	log   *wal.Log
	inbox *inbox
	done  sync.WaitGroup

	mu      sync.Mutex
	some    *sync.Cond
	waiting []work
	stopped bool
	err     error
}

func newDisk(log *wal.Log, b *inbox) *disk {
	d := &disk{log: log, inbox: b}
	d.some = sync.NewCond(&d.mu)
	d.done.Go(d.run)
	return d
}

func (d *disk) do(w work) {
	d.mu.Lock()
	d.waiting = append(d.waiting, w)
	d.mu.Unlock()
	d.some.Signal()
}

// failure is why the log can no longer be used, or nil.
func (d *disk) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// stop ends the goroutines, without what still waits.
func (d *disk) stop() error {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.some.Signal()
	d.done.Wait()
	return d.failure()
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	if d.err == nil {
		d.err = err
	}
	d.mu.Unlock()
	d.inbox.wake()
}

func (d *disk) run() {
	for {
		d.mu.Lock()
		for len(d.waiting) == 0 && !d.stopped {
			d.some.Wait()
		}
		todo := d.waiting
		d.waiting = nil
		over := d.stopped || d.err != nil
		d.mu.Unlock()
		if over {
			return
		}
		if err := d.store(todo); err != nil {
			d.fail(err)
			return
		}
	}
}

// store writes and syncs as much as can share one sync.
func (d *disk) store(todo []work) error {
	var batch work
	for _, w := range todo {
		batch.records = append(batch.records, w.records...)
		batch.afterSync = append(batch.afterSync, w.afterSync...)
		if w.compact != nil {
			if err := d.flush(&batch); err != nil {
				return err
			}
			if err := d.log.Compact(*w.compact); err != nil {
				return err
			}
		}
		if w.save != nil {
			d.done.Go(func() { d.save(*w.save) })
		}
	}
	return d.flush(&batch)
}

func (d *disk) flush(batch *work) error {
	if len(batch.records) > 0 {
		if err := d.log.Write(batch.records); err != nil {
			return err
		}
		if err := d.log.Sync(); err != nil {
			return err
		}
	}
	if len(batch.afterSync) > 0 {
		d.inbox.put(event{released: batch.afterSync}, 0)
	}
	*batch = work{}
	return nil
}

// save writes a snapshot beside the log.
func (d *disk) save(s core.Snapshot) {
	if err := d.log.Save(s); err != nil {
		d.fail(err)
		return
	}
	d.inbox.put(event{body: core.Saved{ID: s.ID}}, 0)
}

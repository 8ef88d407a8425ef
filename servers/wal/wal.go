// Package wal keeps what a core (servers/core) must not forget: a log of records and the snapshots that shorten it, in
// one directory.
//
// # Files
//
// There is one log at a time, log-GENERATION, and the snapshot that it begins with, snapshot-ID. A file appears under
// its name only when it is whole and synced: it is written as *.tmp, synced, renamed, and the directory is synced.
// Compact writes the log of the next generation in this way; the log with the highest generation is the one that counts,
// and what it does not name is removed.
//
// # Batches
//
// Records are written in batches, one a Write, each under one checksum (CRC-32C). A batch also says how far
// the log was known to be durable when it was written. So after a crash two cases can be told apart: a batch that was
// never synced may be torn or missing, and the log is cut before it; damage before a point that a later batch calls
// durable is an error (ErrDamaged), since cutting there would lose what was acknowledged. Damage to
// the last synced batch alone looks like a torn one: no later batch vouches for it (see Alagappan et al.,
// Protocol-Aware Recovery, FAST 2018, for what it takes to tell these apart).
//
// # Errors
//
// After any error of Write, Sync or Compact the log's state is unknown (Pillai et al., All File Systems Are Not Created
// Equal, OSDI 2014; and what Linux does with pages whose fsync failed). The caller must throw the Log away and Open again.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// ErrDamaged is the error of Open when durable data is missing or altered.
var ErrDamaged = errors.New("the log is damaged where it was durable; replace this node by a new one with an empty directory")

// MaxRecord is the size limit of a record in bytes, and of the records of one Write together.
const MaxRecord = 64 << 20

const (
	logMagic      = "nemesisL"
	snapshotMagic = "nemesisS"
	batchMagic    = 0x6e6c6f67
	batchHeader   = 4 + 4 + 4 + 8 // magic, length, checksum, durable
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Log is an open log. It is used by one goroutine at a time, but for Save, which may run beside the others.
type Log struct {
	fs         FS
	file       File
	generation uint64
	snapshot   uint64 // what the log begins with
	size       int64
	durable    int64 // bytes known to be on disk
	buffer     []byte
	defect     defect.ID
}

// Open reads what the directory holds and opens its log for writing. An empty directory gives an empty Stored.
func Open(dir FS, d defect.ID) (*Log, core.Stored, error) {
	l := &Log{fs: dir, defect: d}
	stored, err := l.recover()
	if err != nil && d == defect.R34 {
		stored, err = core.Stored{}, nil
		l.generation = 1 << 32
	}
	if err != nil {
		return nil, core.Stored{}, err
	}
	if l.file == nil {
		if err := l.begin(core.Compaction{}); err != nil {
			return nil, core.Stored{}, err
		}
	}
	return l, stored, nil
}

func (l *Log) recover() (core.Stored, error) {
	names, err := l.fs.List()
	if err != nil {
		return core.Stored{}, fmt.Errorf("list the log's directory: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, temporary) {
			if err := l.remove(name); err != nil {
				return core.Stored{}, err
			}
		}
		if n, ok := number(name, "log-"); ok {
			l.generation = max(l.generation, n)
		}
	}
	if l.generation == 0 {
		return core.Stored{}, nil
	}
	stored, err := l.read(logName(l.generation))
	if err != nil {
		return core.Stored{}, err
	}
	if l.file, err = l.fs.Append(logName(l.generation)); err != nil {
		return core.Stored{}, fmt.Errorf("open the log: %w", err)
	}
	return stored, l.tidy(names)
}

// read reads a log and its snapshot and cuts what was torn.
func (l *Log) read(name string) (core.Stored, error) {
	data, err := l.fs.Read(name)
	if err != nil {
		return core.Stored{}, fmt.Errorf("read the log: %w", err)
	}
	if len(data) < len(logMagic)+8 || string(data[:len(logMagic)]) != logMagic {
		return core.Stored{}, fmt.Errorf("read %s: %w", name, ErrDamaged)
	}
	l.snapshot = binary.BigEndian.Uint64(data[len(logMagic):])
	var stored core.Stored
	end, last := int64(len(logMagic)+8), int64(0)
	for {
		payload, durable, ok := l.batch(data[end:])
		if !ok {
			break
		}
		l.durable = max(l.durable, durable)
		last = end
		end += int64(batchHeader + len(payload))
		if stored.Records, err = appendRecords(stored.Records, payload); err != nil {
			return core.Stored{}, fmt.Errorf("read %s: %w", name, ErrDamaged)
		}
	}
	if torn := int64(len(data)) - end; torn > 0 {
		if l.defect == defect.R31 {
			return core.Stored{}, fmt.Errorf("read %s: %d bytes after the last batch", name, torn)
		}
		if l.vouched(data, end) || last == 0 { // a log is renamed only when its first batch is on disk
			return core.Stored{}, fmt.Errorf("read %s at offset %d: %w", name, end, ErrDamaged)
		}
		if l.defect == defect.R32 && last > int64(len(logMagic)+8) {
			end = last
			stored.Records = stored.Records[:0]
			for at := int64(len(logMagic) + 8); at < end; {
				payload, _, _ := l.batch(data[at:])
				stored.Records, _ = appendRecords(stored.Records, payload)
				at += int64(batchHeader + len(payload))
			}
		}
		if err := l.fs.Truncate(name, end); err != nil {
			return core.Stored{}, fmt.Errorf("cut the log's torn end: %w", err)
		}
	}
	l.size = end
	// What was read may be in the cache only: it must not be acted on before it is on disk.
	if err := l.syncFile(name); err != nil {
		return core.Stored{}, fmt.Errorf("sync the log: %w", err)
	}
	l.durable = end
	if l.snapshot != 0 {
		if stored.Snapshot, err = l.readSnapshot(l.snapshot); err != nil {
			return core.Stored{}, err
		}
	}
	return stored, nil
}

// batch reads the batch that data begins with.
func (l *Log) batch(data []byte) (payload []byte, durable int64, ok bool) {
	if len(data) < batchHeader || binary.BigEndian.Uint32(data) != batchMagic {
		return nil, 0, false
	}
	size := binary.BigEndian.Uint32(data[4:])
	if uint64(size) > uint64(len(data)-batchHeader) {
		return nil, 0, false
	}
	payload = data[batchHeader : batchHeader+int(size)]
	if crc := binary.BigEndian.Uint32(data[8:]); crc != checksum(data[4:8], data[12:batchHeader], payload) && l.defect != defect.R35 {
		return nil, 0, false
	}
	return payload, int64(binary.BigEndian.Uint64(data[12:])), true
}

// vouched says whether some batch, before or after the offset, calls the log durable beyond it.
func (l *Log) vouched(data []byte, offset int64) bool {
	if l.durable > offset {
		return true
	}
	for at := offset + 1; at+batchHeader <= int64(len(data)); at++ {
		if binary.BigEndian.Uint32(data[at:]) != batchMagic {
			continue
		}
		if _, durable, ok := l.batch(data[at:]); ok && durable > offset {
			return true
		}
	}
	return false
}

func checksum(parts ...[]byte) uint32 {
	var crc uint32
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	return crc
}

func appendRecords(records [][]byte, payload []byte) ([][]byte, error) {
	for len(payload) > 0 {
		size, n := binary.Uvarint(payload)
		if n <= 0 || size > uint64(len(payload)-n) {
			return nil, errors.New("a record is longer than its batch")
		}
		records = append(records, payload[n:n+int(size)])
		payload = payload[n+int(size):]
	}
	return records, nil
}

func (l *Log) syncFile(name string) error {
	f, err := l.fs.Append(name)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Write appends the records as one batch. They are not durable before the next Sync.
func (l *Log) Write(records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	b, err := l.encode(l.buffer[:0], records)
	if err != nil {
		return err
	}
	l.buffer = b
	if _, err := l.file.Write(b); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	l.size += int64(len(b))
	return nil
}

func (l *Log) encode(b []byte, records [][]byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, batchHeader)...)
	for _, r := range records {
		b = binary.AppendUvarint(b, uint64(len(r)))
		b = append(b, r...)
	}
	batch := b[start:]
	size := len(batch) - batchHeader
	if size > MaxRecord {
		return nil, fmt.Errorf("write the log: %d bytes of records at once, and the limit is %d", size, MaxRecord)
	}
	binary.BigEndian.PutUint32(batch, batchMagic)
	binary.BigEndian.PutUint32(batch[4:], uint32(size))
	binary.BigEndian.PutUint64(batch[12:], uint64(l.durable))
	binary.BigEndian.PutUint32(batch[8:], checksum(batch[4:8], batch[12:batchHeader], batch[batchHeader:]))
	return b, nil
}

// Sync makes every record written so far durable.
func (l *Log) Sync() error {
	size := l.size
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	l.durable = size
	return nil
}

// Save makes the snapshot durable. It is not what a recovery begins with until Compact names it.
func (l *Log) Save(s core.Snapshot) error {
	b := append([]byte(snapshotMagic), make([]byte, 12)...)
	binary.BigEndian.PutUint64(b[len(snapshotMagic):], s.ID)
	binary.BigEndian.PutUint32(b[len(snapshotMagic)+8:], checksum(b[len(snapshotMagic):len(snapshotMagic)+8], s.Data))
	name := snapshotName(s.ID)
	if l.defect == defect.R33 {
		return l.replaceInPlace(snapshotName(0), b, s.Data)
	}
	if err := l.replace(name, b, s.Data); err != nil {
		return fmt.Errorf("save a snapshot: %w", err)
	}
	return nil
}

// replaceInPlace is what R33 does: a crash between the truncation and the write leaves no snapshot at all.
func (l *Log) replaceInPlace(name string, parts ...[]byte) error {
	f, err := l.fs.Create(name)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			f.Close()
			return err
		}
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// replace makes a file that is whole or not there.
func (l *Log) replace(name string, parts ...[]byte) error {
	if err := l.replaceInPlace(name+temporary, parts...); err != nil {
		l.fs.Remove(name + temporary) // a full disk: leave what room there is
		return err
	}
	if err := l.fs.Rename(name+temporary, name); err != nil {
		return err
	}
	if l.defect == defect.R36 {
		return nil
	}
	return l.fs.SyncDir()
}

func (l *Log) readSnapshot(id uint64) (*core.Snapshot, error) {
	name := snapshotName(id)
	if l.defect == defect.R33 {
		name = snapshotName(0)
	}
	data, err := l.fs.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", name, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	head := len(snapshotMagic) + 12
	if len(data) < head || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("read %s: %w", name, ErrDamaged)
	}
	idBytes := data[len(snapshotMagic) : len(snapshotMagic)+8]
	sum := binary.BigEndian.Uint32(data[len(snapshotMagic)+8:])
	if l.defect != defect.R35 && sum != checksum(idBytes, data[head:]) || l.defect != defect.R33 && binary.BigEndian.Uint64(idBytes) != id {
		return nil, fmt.Errorf("read %s: %w", name, ErrDamaged)
	}
	return &core.Snapshot{ID: binary.BigEndian.Uint64(idBytes), Data: data[head:]}, nil
}

// Compact replaces the log by the snapshot and the records, which are durable when it returns.
func (l *Log) Compact(c core.Compaction) error {
	if err := l.begin(c); err != nil {
		return err
	}
	names, err := l.fs.List()
	if err != nil {
		return fmt.Errorf("list the log's directory: %w", err)
	}
	return l.tidy(names)
}

// begin starts the log of the next generation.
func (l *Log) begin(c core.Compaction) error {
	b := binary.BigEndian.AppendUint64([]byte(logMagic), c.Snapshot)
	l.durable = 0
	b, err := l.encode(b, c.Records)
	if err != nil {
		return err
	}
	if err := l.replace(logName(l.generation+1), b); err != nil {
		return fmt.Errorf("begin a log: %w", err)
	}
	if l.file != nil {
		l.file.Close() // everything that counts is in the new log
	}
	l.generation++
	if l.file, err = l.fs.Append(logName(l.generation)); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l.snapshot = c.Snapshot
	l.size, l.durable = int64(len(b)), int64(len(b))
	return nil
}

// tidy removes what no longer counts: the logs of earlier generations with their snapshots. Files that were never whole are
// removed by Open only: a Save may be writing one.
func (l *Log) tidy(names []string) error {
	for _, name := range names {
		generation, isLog := number(name, "log-")
		id, isSnapshot := number(name, "snapshot-")
		if isLog && generation < l.generation || isSnapshot && id < l.snapshot && l.defect != defect.R33 {
			if err := l.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) remove(name string) error {
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an earlier log left: %w", err)
	}
	return nil
}

// Close closes the log. Records that were not synced may be lost.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

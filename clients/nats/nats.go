// Package nats is a client of NATS JetStream, made from data: registers are keys of a key-value bucket,
// a queue is a stream from which messages go once they are acknowledged.
//
//	register  read, write and cas: the last message of the key's subject, a message to it, and one that is
//	          refused unless the last one is still the one that was read
//	queue     enqueue: a message; dequeue: the next message of a consumer, acknowledged
//
// One client has one connection of the official driver to one server. It does not connect again by itself,
// and nothing is sent twice. What it is told decides what happened:
//
//   - a publication that the stream acknowledged happened;
//   - one that found nobody who listens to its subject (no responders), or whose expected sequence was wrong,
//     did not, and neither did one that a code in certain refuses;
//   - everything else is unknown, unless the operation only looks.
//
// Reads ask as buckets are read by default: any replica answers (direct get). With Leader the
// stream's leader does.
package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nemesis/clients"
	"nemesis/history"
)

// Config is a client as data.
type Config struct {
	// User and Password, or Token; "" for none.
	User, Password, Token string
	// Bucket is the name of the bucket, Stream that of the stream of the queue.
	Bucket, Stream string
	// Replicas of bucket and stream; 0 is one.
	Replicas int
	// Memory keeps them in memory, not in files.
	Memory bool
	// Reads is Direct or Leader.
	Reads string
	// Certain are codes of the server's errors that say that nothing happened.
	Certain []int
	// Workloads are those that the client is used for, by their names.
	Workloads []string
}

// Who answers reads.
const (
	Direct = "direct"
	Leader = "leader"
)

// workloads are what the client speaks, each with its operations.
func workloads() map[string][]string {
	return map[string][]string{
		registerWork: {history.FRead, history.FWrite, history.FCAS},
		queueWork:    {history.FEnqueue, history.FDequeue},
	}
}

const (
	registerWork = "register"
	queueWork    = "queue"
)

// Operations are the operations of a workload; none where the client does not speak it.
func Operations(workload string) []string { return workloads()[workload] }

// Table is a Config that was checked and is ready to be used by many clients at once.
type Table struct {
	config Config

	// making is held by the client that makes bucket or stream; made: they are there.
	making chan struct{}
	made   bool
}

// Read checks a configuration and fills in what it leaves out.
func Read(c Config) (*Table, error) {
	if c.Bucket == "" {
		c.Bucket = "nemesis"
	}
	if c.Stream == "" {
		c.Stream = "nemesis"
	}
	if c.Reads == "" {
		c.Reads = Direct
	}
	for _, name := range []struct{ key, value string }{{"bucket", c.Bucket}, {"stream", c.Stream}} {
		if strings.ContainsAny(name.value, " .*>/\\\t\r\n") {
			return nil, fmt.Errorf("%s: %q is no name; it has letters, digits and dashes", name.key, name.value)
		}
	}
	if c.Reads != Direct && c.Reads != Leader {
		return nil, fmt.Errorf("reads: %q is none of %s and %s", c.Reads, Direct, Leader)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return nil, fmt.Errorf("replicas: %d is no number from 1 to 5", c.Replicas)
	}
	for _, work := range c.Workloads {
		if Operations(work) == nil {
			return nil, fmt.Errorf("workloads: clients of NATS do not speak %q; they speak %s and %s", work, registerWork, queueWork)
		}
	}
	return &Table{config: c, making: make(chan struct{}, 1)}, nil
}

// The names that a key-value bucket has in JetStream.
func (c Config) bucketStream() string         { return "KV_" + c.Bucket }
func (c Config) keySubject(key string) string { return "$KV." + c.Bucket + "." + key }
func (c Config) queueSubject() string         { return c.Stream + ".queue" }

// consumer is the durable one that all clients take messages from.
const consumer = "nemesis"

// redelivery is how long a message is one client's that did not acknowledge it.
const redelivery = 2 * time.Second

// prepare makes the bucket or the stream, once.
func (t *Table) prepare(ctx context.Context, js jetstream.JetStream, workload string) error {
	select {
	case t.making <- struct{}{}:
		defer func() { <-t.making }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if t.made {
		return nil
	}
	c := t.config
	storage := jetstream.FileStorage
	if c.Memory {
		storage = jetstream.MemoryStorage
	}
	var err error
	switch workload {
	case registerWork:
		_, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: c.Bucket, Replicas: max(c.Replicas, 1), Storage: storage, History: 1})
	case queueWork:
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: c.Stream, Subjects: []string{c.queueSubject()}, Retention: jetstream.WorkQueuePolicy,
			Replicas: max(c.Replicas, 1), Storage: storage})
		if err == nil {
			_, err = js.CreateOrUpdateConsumer(ctx, c.Stream, jetstream.ConsumerConfig{Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: redelivery, MaxDeliver: -1})
		}
	}
	if err != nil {
		return fmt.Errorf("make the %s: %w", map[string]string{registerWork: "bucket", queueWork: "stream"}[workload], err)
	}
	t.made = true
	return nil
}

// Open makes a client for a workload. target tells where the server is whenever a connection is needed.
func (t *Table) Open(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) *Client {
	return &Client{table: t, workload: workload, node: node, target: target, dialer: dialer}
}

// certain reports whether a code says that nothing happened.
func (t *Table) certain(code int) bool { return slices.Contains(t.config.Certain, code) }

package nats

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// server speaks as much of the protocol of NATS as a client needs, and answers requests as a test says.
type server struct {
	address string
	// answer is what is said to a request: the payload; "status 503" and the like are headers, "hang" is nothing, "cut" ends
	// the connection.
	answer func(subject, payload string) string

	mu    sync.Mutex
	asked []string // subjects
}

func serve(t *testing.T, answer func(subject, payload string) string) *server {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &server{address: listener.Addr().String(), answer: answer}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.talk(conn)
		}
	}()
	return s
}

func (s *server) talk(conn net.Conn) {
	defer conn.Close()
	fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":\"2.12.1\",\"headers\":true,\"max_payload\":1048576}\r\n")
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		switch words[0] {
		case "PING":
			fmt.Fprint(conn, "PONG\r\n")
		case "PUB", "HPUB":
			size, err := strconv.Atoi(words[len(words)-1])
			if err != nil {
				return
			}
			payload := make([]byte, size+2)
			if _, err := io.ReadFull(r, payload); err != nil {
				return
			}
			s.mu.Lock()
			s.asked = append(s.asked, words[1])
			s.mu.Unlock()
			said := s.answer(words[1], strings.TrimSpace(string(payload)))
			switch status, is := strings.CutPrefix(said, "status "); {
			case said == "hang":
			case said == "cut":
				return
			case is:
				header := "NATS/1.0 " + status + "\r\n\r\n"
				fmt.Fprintf(conn, "HMSG %s 1 %d %d\r\n%s\r\n", words[2], len(header), len(header), header)
			case strings.HasPrefix(said, "message "):
				data := strings.TrimPrefix(said, "message ")
				header := "NATS/1.0\r\nNats-Sequence: 7\r\n\r\n"
				fmt.Fprintf(conn, "HMSG %s 1 acknowledge %d %d\r\n%s%s\r\n", words[2], len(header), len(header)+len(data), header, data)
			default:
				fmt.Fprintf(conn, "MSG %s 1 %d\r\n%s\r\n", words[2], len(said), said)
			}
		}
	}
}

// client is a client of a bucket and a stream that are there already.
func (s *server) client(t *testing.T, work, reads string, certain ...int) *Client {
	t.Helper()
	table, err := Read(Config{Reads: reads, Certain: certain, Workloads: []string{work}})
	if err != nil {
		t.Fatal(err)
	}
	table.made = true
	c := table.Open(work, "n1", func(context.Context) (string, error) { return s.address, nil }, new(clients.Dialer))
	t.Cleanup(func() { c.Close() })
	return c
}

func refusal(code int) string {
	return fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":"no"}}`, code)
}

// What a server says, and does not say, decides how an operation ended.
func TestOutcomesOverTheWire(t *testing.T) {
	const acknowledged = `{"stream":"KV_nemesis","seq":8}`
	write, read := history.Event{F: history.FWrite, Key: "k1", Value: json.RawMessage("5")}, history.Event{F: history.FRead, Key: "k1"}
	cas := history.Event{F: history.FCAS, Key: "k1", Value: history.CompareAndSet{Expected: history.EncodeInt(4), New: history.EncodeInt(5)}.Encode()}
	enqueue, dequeue := history.Event{F: history.FEnqueue, Value: json.RawMessage("5")}, history.Event{F: history.FDequeue}
	// What is said to requests by the beginning of their subjects.
	type script map[string]string
	for name, c := range map[string]struct {
		op     history.Event
		reads  string
		script script
		want   history.Type
		value  string
	}{
		"write":                       {write, Direct, script{"$KV.": acknowledged}, history.OK, ""},
		"write without an answer":     {write, Direct, script{"$KV.": "hang"}, history.Info, ""},
		"write that is cut":           {write, Direct, script{"$KV.": "cut"}, history.Info, ""},
		"write to nobody":             {write, Direct, script{"$KV.": "status 503"}, history.Fail, ""},
		"write that is refused":       {write, Direct, script{"$KV.": refusal(10077)}, history.Info, ""},
		"write that is certainly":     {write, Direct, script{"$KV.": refusal(10023)}, history.Fail, ""},
		"write with a strange reply":  {write, Direct, script{"$KV.": "what?"}, history.Info, ""},
		"read":                        {read, Direct, script{"$JS.API.DIRECT.GET.": "message 5"}, history.OK, "5"},
		"read of nothing":             {read, Direct, script{"$JS.API.DIRECT.GET.": "status 404 Message Not Found"}, history.OK, "null"},
		"read without an answer":      {read, Direct, script{"$JS.API.DIRECT.GET.": "hang"}, history.Fail, ""},
		"read of the leader":          {read, Leader, script{"$JS.API.STREAM.MSG.GET.": `{"message":{"seq":7,"data":"NQ=="}}`}, history.OK, "5"},
		"read of no leader":           {read, Leader, script{"$JS.API.STREAM.MSG.GET.": "status 503"}, history.Fail, ""},
		"leader has nothing":          {read, Leader, script{"$JS.API.STREAM.MSG.GET.": refusal(10037)}, history.OK, "null"},
		"cas":                         {cas, Direct, script{"$JS.API.DIRECT.GET.": "message 4", "$KV.": acknowledged}, history.OK, ""},
		"cas of something else":       {cas, Direct, script{"$JS.API.DIRECT.GET.": "message 3"}, history.Fail, ""},
		"cas that came too late":      {cas, Direct, script{"$JS.API.DIRECT.GET.": "message 4", "$KV.": refusal(10071)}, history.Fail, ""},
		"cas beside another":          {cas, Direct, script{"$JS.API.DIRECT.GET.": "message 4", "$KV.": refusal(10164)}, history.Fail, ""},
		"cas without an answer":       {cas, Direct, script{"$JS.API.DIRECT.GET.": "message 4", "$KV.": "hang"}, history.Info, ""},
		"cas that could not read":     {cas, Direct, script{"$JS.API.DIRECT.GET.": "hang"}, history.Fail, ""},
		"enqueue":                     {enqueue, Direct, script{"nemesis.queue": acknowledged}, history.OK, ""},
		"dequeue":                     {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "message 5", "acknowledge": "+OK"}, history.OK, "5"},
		"unconfirmed dequeue":         {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "message 5", "acknowledge": "hang"}, history.Info, ""},
		"dequeue that is cut":         {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "message 5", "acknowledge": "cut"}, history.Info, ""},
		"dequeue nobody acknowledges": {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "message 5", "acknowledge": "status 503"}, history.Fail, ""},
		"dequeue without an answer":   {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "hang"}, history.Fail, ""},
		"dequeue of nothing": {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "status 404 No Messages",
			"$JS.API.CONSUMER.INFO.": `{"stream_name":"nemesis","name":"nemesis","config":{"durable_name":"nemesis"},"num_pending":0,"num_ack_pending":0}`}, history.OK, "null"},
		"dequeue of what others hold": {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "status 404 No Messages",
			"$JS.API.CONSUMER.INFO.": `{"stream_name":"nemesis","name":"nemesis","config":{"durable_name":"nemesis"},"num_pending":0,"num_ack_pending":1}`}, history.Fail, ""},
		"dequeue of an unknown queue": {dequeue, Direct, script{"$JS.API.CONSUMER.MSG.NEXT.": "status 404 No Messages", "$JS.API.CONSUMER.INFO.": "hang"}, history.Fail, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(subject, _ string) string {
				for beginning, said := range c.script {
					if strings.HasPrefix(subject, beginning) {
						return said
					}
				}
				return "status 503"
			})
			work := registerWork
			if c.op.F == history.FEnqueue || c.op.F == history.FDequeue {
				work = queueWork
			}
			client := s.client(t, work, c.reads, 10023)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			done := client.Invoke(ctx, c.op)
			if done.Type != c.want || string(done.Value) != c.value || (done.Error == "") != (c.want == history.OK) {
				t.Errorf("%s %s: %s; want %s %s", done.Type, done.Value, done.Error, c.want, c.value)
			}
			answered := !strings.Contains(fmt.Sprint(c.script), "hang") && !strings.Contains(fmt.Sprint(c.script), "cut")
			if kept := client.conn != nil; !answered && kept {
				t.Error("the connection is kept, over which more may be sent")
			}
		})
	}
}

// Nobody who could have heard of it was asked.
func TestARefusedConnectionIsCertain(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String()}
	listener.Close()
	client := s.client(t, registerWork, Direct)
	done := client.Invoke(context.Background(), history.Event{F: history.FWrite, Key: "k1", Value: json.RawMessage("5")})
	if done.Type != history.Fail {
		t.Errorf("%s: %s", done.Type, done.Error)
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	for want, c := range map[string]Config{
		`reads: "all" is none of direct and leader`: {Reads: "all"},
		`bucket: "a b" is no name`:                  {Bucket: "a b"},
		`stream: "a.b" is no name`:                  {Stream: "a.b"},
		`replicas: 6 is no number from 1 to 5`:      {Replicas: 6},
		`do not speak "append"; they speak`:         {Workloads: []string{"append"}},
	} {
		if _, err := Read(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

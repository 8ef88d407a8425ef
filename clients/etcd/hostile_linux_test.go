package etcd

import (
	"context"
	"net"
	"net/netip"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nemesis/history"
)

// liar is a key-value server that answers whatever a test wants, over real gRPC.
type liar struct {
	pb.UnimplementedKVServer
	err    error
	read   *pb.RangeResponse
	txn    *pb.TxnResponse
	reads  int
	writes int
}

func (l *liar) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	l.reads++
	return l.read, l.err
}

func (l *liar) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	l.writes++
	return &pb.PutResponse{}, l.err
}

func (l *liar) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	l.writes++
	return l.txn, l.err
}

// listen serves the liar on a loopback address.
func listen(t *testing.T, l *liar) netip.Addr {
	t.Helper()
	addr := loopback()
	socket, err := net.Listen("tcp", netip.AddrPortFrom(addr, clientPort).String())
	must(t, err)
	s := grpc.NewServer()
	pb.RegisterKVServer(s, l)
	go s.Serve(socket)
	t.Cleanup(s.Stop)
	return addr
}

func TestErrorsAsTheyArriveFromAServer(t *testing.T) {
	l := &liar{}
	c := openClient(t, listen(t, l), defaults(t))
	for name, row := range writeErrors() {
		t.Run(name, func(t *testing.T) {
			*l = liar{err: row.err}
			ended(t, invoke(t, c, "write", "k", "1"), row.want, "")
			ended(t, invoke(t, c, "cas", "k", "[1,2]"), row.want, "")
			ended(t, invoke(t, c, "add", "", "1"), row.want, "")
			if l.writes != 3 {
				t.Errorf("three writes were sent %d times", l.writes)
			}
			ended(t, invoke(t, c, "read", "k", "null"), history.Fail, "")
			ended(t, invoke(t, c, "list", "", "null"), history.Fail, "")
			// The append's read fails, so that no write is tried.
			ended(t, invoke(t, c, "txn", "", `[["append","x",1]]`), history.Fail, "")
		})
	}
}

// One operation is one request, even where the official client thinks that
// repeating does no harm.
func TestRequestsAreNeverRetried(t *testing.T) {
	l := &liar{err: status.Error(codes.Unavailable, "there is no connection available")}
	c := openClient(t, listen(t, l), defaults(t))
	ended(t, invoke(t, c, "write", "k", "1"), history.Info, "no connection available")
	ended(t, invoke(t, c, "read", "k", "null"), history.Fail, "no connection available")
	if l.writes != 1 || l.reads != 1 {
		t.Errorf("one write was sent %d times, one read %d times", l.writes, l.reads)
	}
}

func TestMalformedAnswersAreErrors(t *testing.T) {
	kv := func(key, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: 5}
	}
	read := func(kvs ...*mvccpb.KeyValue) *liar { return &liar{read: &pb.RangeResponse{Kvs: kvs}} }
	reads := func(kvs ...*mvccpb.KeyValue) *liar {
		l := &liar{txn: &pb.TxnResponse{Succeeded: true}}
		for _, kv := range kvs {
			l.txn.Responses = append(l.txn.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
				ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv}},
			}})
		}
		return l
	}
	const k, x = "nemesis/register/k", "nemesis/list/x"
	tests := []struct {
		name     string
		server   *liar
		f, value string
		want     history.Type
		text     string
	}{
		{"a word for a number", read(kv(k, "three")), "read", "null", history.OK, `"three"`},
		{"nothing for a number", read(kv(k, "")), "read", "null", history.OK, `""`},
		{"a number nobody spells so", read(kv(k, "+7")), "read", "null", history.OK, `"+7"`},
		{"a number too large", read(kv(k, "99999999999999999999")), "read", "null", history.OK, `"99999999999999999999"`},
		{"a fraction", read(kv(k, "1.5")), "read", "null", history.OK, `"1.5"`},
		{"bytes of terminal mischief", read(kv(k, "\x1b[2J\xff")), "read", "null", history.OK, `"\u001b[2J\ufffd"`},
		{"another key", read(kv("nemesis/register/j", "1")), "read", "null", history.Info, "with something else"},
		{"two values", read(kv(k, "1"), kv(k, "2")), "read", "null", history.Info, "with something else"},
		{"an honest number", read(kv(k, "1")), "read", "null", history.OK, "1"},

		{"a foreign element", read(kv("nemesis/set//1", ""), kv("nemesis/register/1", "")), "list", "null", history.Info, "which is not below"},
		{"an element that is no number", read(kv("nemesis/set//one", "")), "list", "null", history.OK, `["one"]`},
		{"an element twice", read(kv("nemesis/set//1", ""), kv("nemesis/set//1", "")), "list", "null", history.OK, "[1,1]"},

		{"no answers in a transaction", reads(), "txn", `[["r","x",null]]`, history.Info, "answered 0 of 1 reads"},
		{"too many answers", reads(kv(x, "[]"), kv(x, "[]")), "txn", `[["r","x",null]]`, history.Info, "answered 2 of 1 reads"},
		{"an answer of another kind", &liar{txn: &pb.TxnResponse{Responses: []*pb.ResponseOp{{}}}}, "txn", `[["r","x",null]]`, history.OK, `[["r","x",[]]]`},
		{"a list of words", reads(kv(x, `["a"]`)), "txn", `[["r","x",null]]`, history.Info, "where a list was written"},
		{"a list with a hole", reads(kv(x, `[1,null]`)), "txn", `[["r","x",null]]`, history.Info, "where a list was written"},
		{"a torn list", reads(kv(x, `[1,2`)), "txn", `[["append","x",3]]`, history.Info, "where a list was written"},
		{"no list", reads(kv(x, `null`)), "txn", `[["append","x",3]]`, history.Info, "where a list was written"},
		{"another list", reads(kv("nemesis/list/y", `[1]`)), "txn", `[["append","x",3]]`, history.Info, "with something else"},

		{"an empty answer to a write", &liar{}, "write", "1", history.OK, ""},
		{"an empty answer to a cas", &liar{txn: &pb.TxnResponse{}}, "cas", "[1,2]", history.Fail, mismatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := openClient(t, listen(t, test.server), defaults(t))
			key := "k"
			if test.f == "list" {
				key = ""
			}
			ended(t, invoke(t, c, test.f, key, test.value), test.want, test.text)
		})
	}
}

package hostile

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// listen takes connections and reads what is said on them, and answers nothing.
func listen(t *testing.T) (netip.AddrPort, func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	got := 0
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				n, _ := io.Copy(io.Discard, conn)
				mu.Lock()
				defer mu.Unlock()
				got += int(n)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), func() int {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestEveryFormIsSentAndCounted(t *testing.T) {
	to, got := listen(t)
	s := New(Input{Targets: []netip.AddrPort{to}, Forms: Forms(), Rate: 200, Idle: 20, Seed: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c := s.Counts()
		all := c.Idle == 20 && c.Reached == 1
		for _, form := range Forms() {
			all = all && c.Forms[form] > 0
		}
		if all {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute: %+v", c)
		}
	}
	cancel()
	<-done
	c := s.Counts()
	if c.Idle != 0 || c.MostIdle != 20 || c.Bytes == 0 || got() == 0 {
		t.Errorf("%+v, and %d bytes arrived", c, got())
	}
}

func TestWhatIsSentFollowsFromTheSeed(t *testing.T) {
	for _, form := range Forms() {
		if form == Idle {
			continue
		}
		for seed := range uint64(200) {
			a, holdA := draw(form, rand.New(rand.NewPCG(seed, 0)))
			b, holdB := draw(form, rand.New(rand.NewPCG(seed, 0)))
			if holdA != holdB || !slices.EqualFunc(a, b, bytes.Equal) {
				t.Fatalf("%s of seed %d differs", form, seed)
			}
			for _, part := range a {
				if len(part) == 0 {
					t.Fatalf("%s of seed %d has an empty part", form, seed)
				}
			}
		}
	}
}

// Frames that changed something would be operations that no history tells of.
func TestNoValidFrameChangesAnything(t *testing.T) {
	for _, protocol := range protocols() {
		for _, frame := range protocol {
			text := strings.ToUpper(string(frame))
			for _, word := range []string{"SET", "DEL", "PUT", "POST", "PATCH", "FLUSH", "EVAL", "INSERT", "UPDATE", "SHUTDOWN", "PUB", "SUB", "CONFIG"} {
				if strings.Contains(text, word) {
					t.Errorf("%q has %s in it", frame, word)
				}
			}
		}
	}
}

func TestInputsThatCannotBe(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:1")
	for want, i := range map[string]Input{
		"0 targets are not from 1 to 64":                     {Forms: Forms(), Rate: 1, Idle: 1},
		"it does not say what is sent":                       {Targets: []netip.AddrPort{to}, Rate: 1},
		"0 inputs a second are not from 1 to 1000":           {Targets: []netip.AddrPort{to}, Forms: Forms(), Idle: 1},
		"0 idle connections are not from 1 to 20000":         {Targets: []netip.AddrPort{to}, Forms: Forms(), Rate: 1},
		`"noise" is nothing that is sent; choose from [rand`: {Targets: []netip.AddrPort{to}, Forms: []string{"noise"}, Rate: 1},
	} {
		if err := i.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// proxy is the way of a standby to its primary: PostgreSQL connects here, always at the same
// address, and what stands behind it is the supervisor's decision. Cutting it is certain and takes effect
// at once, which telling PostgreSQL to follow nobody would not be.
//
// A standby connects only when it has replayed all of the log that lies on its own disk, so an attempt
// tells that as well.
type proxy struct {
	listener net.Listener

	mu      sync.Mutex
	to      string // "" while it is cut
	conns   map[net.Conn]bool
	tried   bool
	through int // connections that stand
}

func openProxy(ctx context.Context, address string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the way to the primary: %w", err)
	}
	p := &proxy{listener: l, conns: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p, nil
}

// lead lets the standby through to a primary.
func (p *proxy) lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to != to {
		p.cutLocked()
		p.to = to
	}
}

// cut ends all connections and lets nobody through. When it returns, nothing of the standby
// reaches a primary any more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

func (p *proxy) cutLocked() {
	p.to = ""
	for conn := range p.conns {
		conn.Close()
	}
}

// forget forgets that anybody tried.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = false
}

// used says whether anybody tried since, and whether a connection stands.
func (p *proxy) used() (tried, stands bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried, p.through > 0
}

func (p *proxy) close() {
	p.listener.Close()
	p.cut()
}

func (p *proxy) serve(standby net.Conn) {
	defer standby.Close()
	p.mu.Lock()
	p.tried = true
	to := p.to
	p.mu.Unlock()
	if to == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	primary, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	cancel()
	if err != nil {
		return
	}
	defer primary.Close()
	p.mu.Lock()
	if p.to != to { // cut meanwhile
		p.mu.Unlock()
		return
	}
	p.conns[standby], p.conns[primary] = true, true
	p.through++
	p.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{standby, primary}, {primary, standby}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // either side may end it
			done <- struct{}{}
		}()
	}
	<-done
	standby.Close()
	primary.Close()
	<-done
	p.mu.Lock()
	delete(p.conns, standby)
	delete(p.conns, primary)
	p.through--
	p.mu.Unlock()
}

package sim

import (
	"fmt"
	"time"

	"nemesis/servers/core"
)

// link is one direction between two endpoints. Address 0 stands for any.
type link struct{ from, to core.Address }

// network carries messages.
type network struct {
	cut     map[link]int // how many faults cut it
	loss    map[link]float64
	lossAll float64
	double  float64 // share of messages that come twice
	replay  float64 // share of messages that come again seconds later
	slow    float64 // factor of delays
}

// send puts a message on its way.
func (w *world) send(m core.Message) {
	to := w.nodes[m.To]
	if to == nil {
		return
	}
	between := !m.From.IsClient() && !m.To.IsClient()
	if between && w.net.cut[link{m.From, m.To}] > 0 {
		return
	}
	if w.net.lossAll > 0 && w.rng.Float64() < w.net.lossAll {
		return
	}
	body := m.Body
	if w.opt.Encode {
		decoded, err := w.model.Decode(body.Append(nil))
		if err != nil {
			w.fail(m.From, fmt.Errorf("its message %T cannot be decoded: %w", body, err))
			return
		}
		body = decoded
	}
	w.deliver(to, m.From, body, w.delay())
	if w.net.double > 0 && w.rng.Float64() < w.net.double {
		w.deliver(to, m.From, body, w.delay()*3)
	}
	if w.net.replay > 0 && w.rng.Float64() < w.net.replay {
		w.deliver(to, m.From, body, time.Duration(w.rng.Int64N(int64(3*time.Second))))
	}
}

func (w *world) deliver(to *node, from core.Address, body core.Body, after time.Duration) {
	w.push(event{at: w.now + after, kind: delivers, node: to, from: from, body: body})
}

func (w *world) delay() time.Duration {
	d := w.spread(w.opt.Delay)
	if w.net.slow > 0 {
		d = time.Duration(float64(d) * (1 + w.net.slow*w.rng.Float64()))
	}
	return d
}

package effects

import (
	"encoding/binary"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nemesis/history"
)

// The emulator's parameters as the kernel takes them (linux/pkt_sched.h). They are
// written here since the netlink package knows neither bursts of losses nor how delays
// are spread, and counts delays in ticks of a clock that differs from machine to machine.

// Attributes that the netlink package does not name.
const (
	netemLatency64 = 10 // TCA_NETEM_LATENCY64, ns
	netemJitter64  = 11 // TCA_NETEM_JITTER64, ns
	netemBursts    = 2  // NETEM_LOSS_GE, inside TCA_NETEM_LOSS: the model of Gilbert and Elliott
)

// netemLimit is how many packets wait in the emulator; more are lost. It is large, so
// that what is lost is lost by request, and yet bounds the memory that a rate can cost.
const netemLimit = 20_000

func addNetem(attrs netlink.QdiscAttrs, c history.PacketChange) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(attrs.LinkIndex), Handle: attrs.Handle, Parent: attrs.Parent})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("netem")))
	req.AddData(netemOptions(c))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func netemOptions(c history.PacketChange) *nl.RtAttr {
	base := nl.TcNetemQopt{Limit: netemLimit, Duplicate: chance(c.Duplicate)}
	if c.Burst <= 1 {
		base.Loss = chance(c.Loss)
	}
	if c.Reorder > 0 {
		base.Gap = 1 // any packet may overtake, not only each n-th
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, base.Serialize())
	if c.Delay > 0 {
		options.AddRtAttr(netemLatency64, words64(int64(c.Delay)))
	}
	if c.Jitter > 0 {
		options.AddRtAttr(netemJitter64, words64(int64(c.Jitter)))
	}
	if c.Spread != "" {
		table := spread(c.Spread)
		bytes := make([]byte, 0, 2*len(table))
		for _, v := range table {
			bytes = binary.NativeEndian.AppendUint16(bytes, uint16(v))
		}
		options.AddRtAttr(nl.TCA_NETEM_DELAY_DIST, bytes)
	}
	if c.Burst > 1 {
		// Good to bad, bad to good, none survives in bad, none is lost in good.
		options.AddRtAttr(nl.TCA_NETEM_LOSS, nil).AddRtAttr(netemBursts, words(chance(onset(c)), chance(1/c.Burst), 0, 0))
	}
	if c.Reorder > 0 {
		options.AddRtAttr(nl.TCA_NETEM_REORDER, words(chance(c.Reorder), 0))
	}
	if c.Corrupt > 0 {
		options.AddRtAttr(nl.TCA_NETEM_CORRUPT, words(chance(c.Corrupt), 0))
	}
	if c.Rate > 0 {
		perSecond := uint64(c.Rate / 8)
		if perSecond > math.MaxUint32 {
			options.AddRtAttr(nl.TCA_NETEM_RATE64, words64(int64(perSecond)))
		}
		options.AddRtAttr(nl.TCA_NETEM_RATE, words(uint32(min(perSecond, math.MaxUint32)), 0, 0, 0))
	}
	return options
}

func words(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return out
}

func words64(v int64) []byte { return binary.NativeEndian.AppendUint64(nil, uint64(v)) }

// spread is a table that the kernel draws from: deviations from the mean in units of
// the standard deviation, scaled by 8192, each as likely as any other. What lies beyond
// four deviations cannot be written and is cut off.
func spread(name string) []int16 {
	const size, scale = 4096, 8192
	table := make([]int16, size)
	for i := range table {
		u := (float64(i) + 0.5) / size
		z := math.Sqrt2 * math.Erfinv(2*u-1)
		if name == "pareto" {
			// Of shape 3 it has mean 3/2 and variance 3/4: many come a little early, few very late.
			z = (math.Pow(1-u, -1.0/3) - 1.5) / math.Sqrt(0.75)
		}
		table[i] = int16(math.Round(min(max(z*scale, math.MinInt16), math.MaxInt16)))
	}
	return table
}

package ironkv

import "nemesis/clients/iron"

// Outer messages: of the channel that each pair of endpoints has.
const (
	messageSingle = 0
	messageAck    = 1
)

// Inner messages of clients, and their answers; the others are of servers among themselves and of administrators.
const (
	innerGet      = 0
	innerSet      = 1
	innerReply    = 2
	innerRedirect = 3
)

// A value is there, or it is not.
const (
	valuePresent = 0
	valueAbsent  = 1
)

// longestValue is what a server takes, in bytes.
const longestValue = 1023

// single is a message of a channel: its number, and what it says. To whom it goes is not looked at by servers.
func single(wire string, seq uint64, inner []byte) []byte {
	b := iron.AppendUint(iron.AppendUint(nil, messageSingle), seq)
	if wire == iron.WireTCP {
		b = iron.AppendBytes(b, nil)
	} else {
		b = iron.AppendUint(b, 0)
	}
	return append(b, inner...)
}

func acknowledge(seq uint64) []byte { return iron.AppendUint(iron.AppendUint(nil, messageAck), seq) }

func get(key uint64) []byte { return iron.AppendUint(iron.AppendUint(nil, innerGet), key) }

func set(key uint64, value string) []byte {
	b := iron.AppendUint(iron.AppendUint(iron.AppendUint(nil, innerSet), key), valuePresent)
	return iron.AppendBytes(b, []byte(value))
}

// incoming is a message of a server.
type incoming struct {
	ack bool
	seq uint64 // what it acknowledges, or its own number
	// Of an answer: the key, and the value unless absent; or that somebody else has the key.
	redirect, absent bool
	key              uint64
	value            string
	owner            uint64 // an endpoint of UDP, 0 where that is not known
}

// receive reads a message of a server.
func receive(wire string, message []byte) (in incoming, err error) {
	r := iron.NewReader(message)
	endpoint := func() uint64 {
		if wire == iron.WireTCP {
			r.Bytes() // a hash of what the server calls itself
			return 0
		}
		return r.Uint()
	}
	outer := r.Uint()
	in.ack, in.seq = outer == messageAck, r.Uint()
	if outer > messageAck {
		r.Fail()
	}
	if in.ack {
		return in, r.End()
	}
	endpoint()
	inner := r.Uint()
	in.redirect, in.key = inner == innerRedirect, r.Uint()
	switch inner {
	case innerReply:
		switch r.Uint() {
		case valuePresent:
			in.value = string(r.Bytes())
		case valueAbsent:
			in.absent = true
		default:
			r.Fail()
		}
	case innerRedirect:
		in.owner = endpoint()
	default:
		r.Fail()
	}
	return in, r.End()
}

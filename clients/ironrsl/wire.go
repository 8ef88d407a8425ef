package ironrsl

import (
	"encoding/binary"
	"fmt"

	"nemesis/clients/iron"
)

// Messages of clients and their answers; the others are of servers among themselves.
const (
	messageRequest = 0
	messageReply   = 6
)

// request is the message that asks for an operation. Of the UDP servers the operation of the counter is a part of the
// message, of the others it is bytes.
func request(wire string, seq uint64, op []byte) []byte {
	b := iron.AppendUint(iron.AppendUint(nil, messageRequest), seq)
	if wire == iron.WireUDP {
		return append(b, op...)
	}
	return iron.AppendBytes(b, op)
}

// reply reads an answer: the number of the request, and what the application said. is says that the message is one: servers
// send nothing else to clients.
func reply(wire string, message []byte) (seq uint64, result []byte, err error) {
	r := iron.NewReader(message)
	if r.Uint() != messageReply {
		r.Fail()
	}
	seq = r.Uint()
	if wire == iron.WireUDP {
		result = iron.AppendUint(iron.AppendUint(nil, r.Uint()), r.Uint())
	} else {
		result = r.Bytes()
	}
	return seq, result, r.End()
}

// The counter.

const (
	counterIncrement = 0
	counterReply     = 1
)

var increment = iron.AppendUint(nil, counterIncrement)

// counted reads the value that an increment made.
func counted(wire string, result []byte) (uint64, error) {
	r := iron.NewReader(result)
	if wire == iron.WireUDP && r.Uint() != counterReply {
		r.Fail()
	}
	n := r.Uint()
	if err := r.End(); err != nil {
		return 0, err
	}
	if n == 0 || n > 1<<62 {
		return 0, fmt.Errorf("the server counted to %d", n)
	}
	return n, nil
}

// The key-value map: kinds of operations and of results, 4 bytes each, as are lengths.
const (
	kvGet = 1
	kvSet = 2

	kvFound   = 1
	kvUnfound = 2
	kvSetDone = 3
)

func appendText(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}

func get(key string) []byte {
	return appendText(binary.BigEndian.AppendUint32(nil, kvGet), key)
}

func set(key, value string) []byte {
	return appendText(appendText(binary.BigEndian.AppendUint32(nil, kvSet), key), value)
}

// got reads the result of a get. There may be no value.
func got(result []byte) (value string, there bool, err error) {
	switch {
	case len(result) == 4 && binary.BigEndian.Uint32(result) == kvUnfound:
		return "", false, nil
	case len(result) >= 8 && binary.BigEndian.Uint32(result) == kvFound && uint64(binary.BigEndian.Uint32(result[4:])) == uint64(len(result)-8):
		return string(result[8:]), true, nil
	}
	return "", false, iron.ErrMessage
}

// wasSet says that a set took place.
func wasSet(result []byte) error {
	if len(result) != 4 || binary.BigEndian.Uint32(result) != kvSetDone {
		return iron.ErrMessage
	}
	return nil
}

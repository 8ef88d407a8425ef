package hostile

import (
	"encoding/binary"
	"strings"
)

// preface begins every connection of HTTP/2.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// protocols are valid frames of several protocols, which greet, ask and read and change nothing.
func protocols() [][][]byte {
	return [][][]byte{
		{ // HTTP/1
			[]byte("GET / HTTP/1.1\r\nHost: n\r\n\r\n"),
			[]byte("HEAD /version HTTP/1.1\r\nHost: n\r\nAccept: */*\r\n\r\n"),
			[]byte("OPTIONS * HTTP/1.1\r\nHost: n\r\n\r\n"),
			[]byte("GET /" + strings.Repeat("a", 9000) + " HTTP/1.0\r\n\r\n"),
		},
		{ // HTTP/2, as gRPC begins
			[]byte(preface),
			http2(4, 0, 0, nil),                               // SETTINGS
			http2(6, 0, 0, []byte("pingpong")),                // PING
			http2(8, 0, 0, []byte{0, 0, 1, 0}),                // WINDOW_UPDATE
			http2(4, 1, 0, nil),                               // that they were read
			http2(7, 0, 0, []byte{0, 0, 0, 0, 0, 0, 0, 0x0b}), // GOAWAY
		},
		{ // TLS 1.2 and later: a ClientHello, and an alert
			clientHello(),
			{0x15, 3, 1, 0, 2, 1, 0},
		},
		{ // RESP
			[]byte("*1\r\n$4\r\nPING\r\n"),
			[]byte("*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n"),
			[]byte("PING\r\n"),
			[]byte("*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n"),
		},
		{ // PostgreSQL: may it be encrypted, a start-up message, a terminate
			postgres(80877103, ""),
			postgres(196608, "user\x00nobody\x00database\x00nothing\x00\x00"),
			{'X', 0, 0, 0, 4},
		},
		{ // NATS
			[]byte("CONNECT {\"verbose\":true}\r\n"),
			[]byte("PING\r\n"),
			[]byte("PONG\r\n"),
		},
	}
}

func http2(kind, flags byte, stream uint32, payload []byte) []byte {
	frame := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(frame, stream), payload...)
}

func postgres(code uint32, rest string) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return append(binary.BigEndian.AppendUint32(frame, code), rest...)
}

// clientHello is one of TLS 1.2 with two ciphers and no extension.
func clientHello() []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...) // version, random
	body = append(body, 0)                            // no session
	body = append(body, 0, 4, 0xc0, 0x2f, 0x00, 0x9c, 1, 0)
	handshake := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{0x16, 3, 1, 0, byte(len(handshake))}, handshake...)
}

package foreign

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// most memory that unpacking takes; what is unpacked is read one event at a time.
const maxWindow = 64 << 20

// unpack returns what is to be read of a file: unpacked if it is packed by gzip or zstd,
// as UTF-8 and without a byte-order mark. What is no text is an error unless it is dbcop's, or
// is to be taken for that.
func unpack(r io.Reader, format Format) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, _ := b.Peek(8) // an error shows again when reading
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("unpack it: %w", err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("unpack it: %w", err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	}
	head, _ = b.Peek(1 << 10)
	var order binary.ByteOrder
	switch {
	case format == DBCop || format == "" && isDBCop(head):
		return b, nil
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = b.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		order = binary.BigEndian
	case bytes.HasPrefix(head, []byte("JEPSEN")):
		return nil, errors.New("this is Jepsen's binary store; name the history.edn or the history.txt beside it")
	case bytes.IndexByte(head[:min(8, len(head))], 0) >= 0:
		return nil, fmt.Errorf("this is no text file; a history as text was expected, or one of %s", DBCop)
	}
	if order != nil {
		_, _ = b.Discard(2)
		b = bufio.NewReaderSize(&utf16Reader{r: b, order: order}, 1<<16)
		if head, _ = b.Peek(3); string(head) == "\ufeff" { // what was UTF-8 with a mark
			_, _ = b.Discard(3)
		}
	}
	return b, nil
}

var jsonWord = regexp.MustCompile(`^(null|true|false)\b`)

var porcupineFunction = regexp.MustCompile(`:f\s+:(get|put|append)\b`)

// recognise tells the format by the beginning of a file. JSON and EDN begin with a bracket
// or a tag, and in JSON a colon follows the first name; everything else is lines of a log.
func recognise(head []byte) Format {
	if isDBCop(head) {
		return DBCop
	}
	if line, _, _ := bytes.Cut(bytes.TrimSpace(head), []byte("\n")); sessionLine.Match(bytes.TrimSpace(line)) {
		return Plume
	}
	text := head
	for {
		text = bytes.TrimLeft(text, " \t\r\n\f,")
		if !bytes.HasPrefix(text, []byte(";")) {
			break
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	if len(text) == 0 {
		return JepsenEDN // which says that there is nothing
	}
	inside := bytes.TrimLeft(text[1:], " \t\r\n\f,")
	switch {
	case text[0] == '{' || text[0] == '#' || text[0] == '(':
	case text[0] == '[' && (len(inside) == 0 || strings.IndexByte("{#(];", inside[0]) >= 0):
	default:
		return JepsenLog
	}
	if isJSON(text) {
		return JepsenJSON
	}
	event, _, _ := bytes.Cut(text, []byte("}"))
	if porcupineFunction.Match(event) && bytes.Contains(event, []byte(":key")) {
		return PorcupineKV
	}
	return JepsenEDN
}

// isJSON reports whether the first name of the first object is followed by a colon.
func isJSON(text []byte) bool {
	_, object, is := bytes.Cut(text, []byte("{"))
	object = bytes.TrimLeft(object, " \t\r\n")
	if !is || len(object) == 0 || object[0] != '"' {
		return false
	}
	for i := 1; i < len(object); i++ {
		switch object[i] {
		case '\\':
			i++
		case '"':
			after := bytes.TrimLeft(object[i+1:], " \t\r\n")
			// In EDN a keyword may follow: {"f" :read}.
			return len(after) > 1 && after[0] == ':' && !('a' <= after[1] && after[1] <= 'z' && !jsonWord.Match(after[1:]))
		}
	}
	return false
}

package foreign

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Reader is UTF-8 for a text in UTF-16, whose byte-order mark was read. A half of a pair that stands
// alone becomes U+FFFD.
type utf16Reader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	rest  []byte // of a character, not yet read
	buf   [utf8.UTFMax]byte
	err   error
	ahead rune // what was read too much, 0 for nothing
}

func (u *utf16Reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(u.rest) == 0 {
			r, err := u.next()
			if err != nil {
				if n > 0 && err == io.EOF {
					return n, nil
				}
				return n, err
			}
			u.rest = u.buf[:utf8.EncodeRune(u.buf[:], r)]
		}
		copied := copy(p[n:], u.rest)
		n, u.rest = n+copied, u.rest[copied:]
	}
	return n, nil
}

func (u *utf16Reader) next() (rune, error) {
	first, err := u.unit()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	second, err := u.unit()
	if err == io.EOF {
		return utf8.RuneError, nil
	}
	if err != nil {
		return 0, err
	}
	if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
		return r, nil
	}
	u.ahead = second
	return utf8.RuneError, nil
}

func (u *utf16Reader) unit() (rune, error) {
	if r := u.ahead; r != 0 {
		u.ahead = 0
		return r, nil
	}
	var two [2]byte
	if u.err == nil {
		_, u.err = io.ReadFull(u.r, two[:])
	}
	switch {
	case errors.Is(u.err, io.ErrUnexpectedEOF):
		return 0, errors.New("the file is UTF-16 and ends within a character; it was cut off")
	case u.err != nil:
		return 0, u.err
	}
	return rune(u.order.Uint16(two[:])), nil
}

package foreign

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"nemesis/history"
)

// number reads a number as Clojure's reader of EDN does, and spells it in the one way of
// all that are equal: 010 is octal, 0x1F and 36rZZ are whole numbers as well, 1N is 1, 2/4
// is 1/2, 1e3 is 1000.0, and 1.50M is 1.5M.
func (e *reader) number(word string) (form, error) {
	if len(word) > maxDigit {
		return form{}, e.fail("a number has %d digits; at most %d are read", len(word), maxDigit)
	}
	if e.json {
		return e.jsonNumber(word)
	}
	if n, ok := wholeNumber(word); ok {
		return form{kind: integer, text: n}, nil
	}
	if top, bottom, is := strings.Cut(word, "/"); is && isDigits(strings.TrimLeft(top, "+-")) && isDigits(bottom) {
		r, ok := new(big.Rat).SetString(strings.TrimPrefix(word, "+"))
		switch {
		case !ok:
			return form{}, e.fail("%s divides by zero", brief(word))
		case r.IsInt():
			return form{kind: integer, text: r.Num().String()}, nil
		}
		return form{kind: ratio, text: r.String()}, nil
	}
	if exact, is := strings.CutSuffix(word, "M"); is {
		if d, ok := history.Decimal(exact); ok {
			return form{kind: decimal, text: d + "M"}, nil
		}
	} else if isFloat(word) {
		f, _ := strconv.ParseFloat(word, 64) // what is out of range is infinite, as in Clojure
		return form{kind: number, text: float(f)}, nil
	}
	return form{}, e.fail("%s starts like a number but is none", brief(word))
}

// jsonNumber takes a number for what it is worth: JSON has one sort of numbers, so 1.0 is 1.
func (e *reader) jsonNumber(word string) (form, error) {
	d, ok := history.Decimal(word)
	digits := strings.TrimPrefix(word, "-")
	if !ok || digits[0] < '0' || digits[0] > '9' || (len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') ||
		strings.Contains(digits+"e", ".e") || strings.Contains(digits, ".E") {
		return form{}, e.fail("%s starts like a number but is none", brief(word))
	}
	if strings.ContainsAny(d, ".e") {
		return form{kind: number, text: d}, nil
	}
	return form{kind: integer, text: d}, nil
}

// float spells a floating-point number such that none is spelled like a whole one.
func float(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "##Inf"
	case math.IsInf(f, -1):
		return "##-Inf"
	}
	s, _ := history.Decimal(strconv.FormatFloat(f, 'e', -1, 64))
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// wholeNumber reads whole numbers of any size and in all of Clojure's notations.
func wholeNumber(word string) (string, bool) {
	if _, err := strconv.ParseInt(word, 10, 64); err == nil && word[0] != '+' && word != "-0" && (word[0] != '0' || len(word) == 1) && !strings.HasPrefix(word, "-0") {
		return word, true // the usual ones, without allocation
	}
	sign, rest := "", strings.TrimLeft(word, "+-")
	if word[0] == '-' {
		sign = "-"
	}
	base := 10
	radix, digits, is := strings.Cut(strings.ToLower(rest), "r")
	switch {
	case is && isDigits(radix) && len(radix) <= 2:
		base, _ = strconv.Atoi(radix)
		rest = digits
	case strings.HasPrefix(strings.ToLower(rest), "0x"):
		base, rest = 16, rest[2:]
	case len(strings.TrimSuffix(rest, "N")) > 1 && rest[0] == '0':
		base, rest = 8, rest[1:]
	}
	if base != 36 {
		rest = strings.TrimSuffix(rest, "N")
	}
	if base < 2 || base > 36 || rest == "" || strings.ContainsAny(rest, "+-_") {
		return "", false
	}
	n, ok := new(big.Int).SetString(sign+rest, base)
	if !ok {
		return "", false
	}
	return n.String(), true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isFloat reports whether a word is digits, perhaps a fraction, perhaps an exponent.
func isFloat(word string) bool {
	mantissa, exponent, has := strings.Cut(strings.ToLower(word), "e")
	if has && !isDigits(strings.TrimPrefix(strings.TrimPrefix(exponent, "+"), "-")) {
		return false
	}
	whole, fraction, _ := strings.Cut(strings.TrimLeft(mantissa, "+-"), ".")
	return isDigits(whole) && (fraction == "" || isDigits(fraction))
}

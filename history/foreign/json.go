package foreign

import "strings"

// jsonCollection reads an array or an object.
func (e *reader) jsonCollection(open byte, depth int) (form, error) {
	f, end := form{kind: sequence}, byte(']')
	if open == '{' {
		f.kind, end = mapping, '}'
	}
	for n := 0; ; n++ {
		c, err := e.start()
		if err != nil {
			return f, err
		}
		if c == end && n == 0 {
			return f, nil
		}
		if f.kind == mapping {
			if c != '"' {
				return f, e.fail("%q stands where the name of a member was expected", c)
			}
			name, err := e.string()
			if err != nil {
				return f, err
			}
			if c, err = e.start(); err != nil {
				return f, err
			}
			if c != ':' {
				return f, e.fail("the member %s has no value; a colon was expected", brief(name.text))
			}
			f.items = append(f.items, name)
			if c, err = e.start(); err != nil {
				return f, err
			}
			if err := e.jsonItem(&f, c, depth); err != nil {
				return f, err
			}
		} else if err := e.jsonItem(&f, c, depth); err != nil {
			return f, err
		}
		if c, err = e.start(); err != nil {
			return f, err
		}
		switch c {
		case end:
			return f, e.arrange(&f)
		case ',':
		default:
			return f, e.fail("%q stands where a comma or %q was expected", c, end)
		}
	}
}

func (e *reader) jsonItem(f *form, c byte, depth int) error {
	item, err := e.inner(c, depth+1)
	f.items = append(f.items, item)
	return err
}

// jsonWord reads null, true, false or a number.
func (e *reader) jsonWord(c byte) (form, error) {
	word, err := e.word(c)
	if err != nil {
		return form{}, err
	}
	switch {
	case word == "null":
		return form{kind: null}, nil
	case word == "true" || word == "false":
		return form{kind: boolean, text: word}, nil
	case strings.IndexByte("-0123456789", word[0]) >= 0:
		return e.number(word)
	}
	return form{}, e.fail("%s is no JSON", brief(word))
}

package sessions

import "strings"

// fault is one thing that is wrong with the parameters of a call.
type fault struct {
	// field is its name in Go.
	field string
	// text follows the name of the field in a sentence.
	text string
	// form is true if the value of the field is malformed, and false if the field is missing or out of place.
	form bool
}

// faults are everything that is wrong with the parameters of a call, in the order of the rules.
type faults []fault

// form adds a fault unless the value of the field is well-formed.
func (f *faults) form(ok bool, field, text string) {
	if !ok {
		*f = append(*f, fault{field, text, true})
	}
}

// presence adds a fault unless the field is there if it must be, and is not if it must not be.
func (f *faults) presence(ok bool, field, text string) {
	if !ok {
		*f = append(*f, fault{field, text, false})
	}
}

// err returns nil if there are no faults.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &paramsError{f}
}

// paramsError is an ErrInvalidParams that names every field.
type paramsError struct{ faults faults }

func (e *paramsError) Error() string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = f.field + " " + f.text
	}
	return ErrInvalidParams.Error() + ": " + strings.Join(lines, "; ")
}

func (*paramsError) Unwrap() error { return ErrInvalidParams }

func (*paramsError) ofSessions() {}

// What faults say of texts. The numbers are those of the limits in session.go.
const (
	mustBeID     = "must be a string of 1 to 255 bytes without control or format characters"
	mustBeName   = "must be a string of at most 255 bytes without control or format characters"
	mustBeReason = "must be a string of at most 500 bytes without control or format characters"
	mustBeCause  = "must be a string of at most 64 bytes without control or format characters"
	isRequired   = "is required"
)

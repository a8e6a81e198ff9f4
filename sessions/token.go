package sessions

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a credential that refuses to be printed or encoded by accident: fmt and
// log/slog show "[redacted]", encoding/json and encoding/xml return an error.
// [Token.Reveal] gives the text, [Manager.WriteGrant] writes that of a grant.
//
// Tokens are comparable with == only by identity; the zero Token is empty.
type Token struct {
	// A pointer, because fmt cannot call methods of a value that it reaches
	// through another struct's unexported field: there it prints an address.
	text *string
}

// NewToken makes a Token of a text.
func NewToken(text string) Token { return Token{text: &text} }

// Reveal returns the credential itself, to be sent to its owner and nowhere else.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Format writes "[redacted]" whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns an error, and so do encoders of JSON, XML and YAML for whatever
// has a Token in it: an answer with "[redacted]" in the token's place looks right
// until a client uses it. A structured log shows the error in place of such a value.
func (Token) MarshalText() ([]byte, error) { return nil, errTokenEncoded }

var errTokenEncoded = errors.New("a sessions.Token is not encoded by accident: " +
	"answer with Manager.WriteGrant, or encode the text that Token.Reveal returns")

// LogValue returns "[redacted]".
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

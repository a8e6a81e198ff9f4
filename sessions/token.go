package sessions

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a credential that is not printed or encoded by accident: fmt and log/slog show
// "[redacted]", and encoding/json and encoding/xml return an error. [Token.Reveal] returns
// the text. [Manager.WriteGrant] writes the texts of a [Grant].
//
// The zero Token is empty. == compares the identity of Tokens and not their texts.
type Token struct {
	// A pointer, because fmt calls no method of a value that it reaches through an
	// unexported field of another struct: of a pointer it prints the address there.
	text *string
}

// NewToken returns a Token with a text.
func NewToken(text string) Token { return Token{text: &text} }

// Reveal returns the credential itself, to be sent to its owner and nowhere else.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Format writes "[redacted]", whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns an error, and so do the encoders of JSON, XML and YAML for a value that
// contains a Token: an answer with "[redacted]" instead of the token would look right until a
// client uses it. A structured log shows the error instead of such a value.
func (Token) MarshalText() ([]byte, error) { return nil, errTokenEncoded }

var errTokenEncoded = errors.New("a sessions.Token is not encoded by accident: " +
	"answer with Manager.WriteGrant, or encode the text that Token.Reveal returns")

// LogValue returns "[redacted]".
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

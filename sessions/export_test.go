package sessions

// Remembered is how many ended sessions the feed of m holds, and how many sessions
// have a context that waits.
func Remembered(m *Manager) (ended, watched int) {
	m.feed.mu.RLock()
	defer m.feed.mu.RUnlock()
	m.watches.mu.Lock()
	defer m.watches.mu.Unlock()
	return len(m.feed.ended), len(m.watches.byID)
}

// Ends is how many sessions m remembers that it has ended itself.
func Ends(m *Manager) int {
	m.ended.mu.RLock()
	defer m.ended.mu.RUnlock()
	return len(m.ended.young) + len(m.ended.old)
}

// NoteFailure notes one of a kind.
func NoteFailure(m *Manager, kind string) { m.failures.note(kind, m.cfg.Now()) }

// FailureKinds is how many kinds of failures m remembers.
func FailureKinds(m *Manager) int {
	m.failures.mu.Lock()
	defer m.failures.mu.Unlock()
	return len(m.failures.byKind)
}

// Limited is c as a Manager uses it.
func Limited(c Config) Config { return c.limited() }

// CutEncoded cuts a text at limit bytes of JSON.
func CutEncoded(s string, limit int) string { return cutEncoded(s, limit) }

// EncodedLen is how long a rune of size bytes is taken to be in a claim.
func EncodedLen(r rune, size int) int { return encodedLen(r, size) }

// EncodeClaims is the JSON of claims.
func EncodeClaims(v any) ([]byte, error) { return encodeClaims(v) }

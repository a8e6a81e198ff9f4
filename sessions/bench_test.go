package sessions_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// The cost of a token over the cost of its signature: compare within one run.
//
//	go test ./sessions -run '^$' -bench Token -count 10

func BenchmarkTokenRawVerify(b *testing.B) {
	key, digest := rawKey(b)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, signature) {
			b.Fatal("the signature does not verify")
		}
	}
}

func BenchmarkTokenVerify(b *testing.B) {
	k := newKit(b)
	token := k.create(b, sessions.CreateParams{}).AccessToken.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenRawSign(b *testing.B) {
	key, digest := rawKey(b)
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest); err != nil {
			b.Fatal(err)
		}
	}
}

// A refresh over the store in memory is a user lookup, the protocol, one signature
// and one MAC.
func BenchmarkTokenRefresh(b *testing.B) {
	k := newKit(b)
	token := k.create(b, sessions.CreateParams{}).RefreshToken
	b.ReportAllocs()
	for b.Loop() {
		k.takeEvents()
		token = k.refresh(b, token).RefreshToken
	}
}

func rawKey(b *testing.B) (*ecdsa.PrivateKey, []byte) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	return key, digest[:]
}

// What a setting of the dial costs a request, with 10,000 sessions that have ended
// lately. Strict pays a look into the store in memory here; with a database it pays
// a statement.
//
//	go test ./sessions -run '^$' -bench Dial -count 10
func BenchmarkDial(b *testing.B) {
	k := sessionstest.New(b)
	for range 10_000 {
		g := k.SignIn(b, "bob").Grant
		if _, err := k.End(b.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
			b.Fatal(err)
		}
	}
	replica, err := sessions.New(k.Config) // which has ended no session
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	go replica.WatchRevocations(ctx)
	for !replica.Health().FeedCurrent {
		runtime.Gosched()
	}
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header = k.SignIn(b, "alice").Header()
	for name, dial := range map[string]sessions.Revocation{
		"stateless": sessions.Stateless, "bounded": sessions.Bounded, "strict": sessions.Strict,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := replica.Authenticate(request, dial); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

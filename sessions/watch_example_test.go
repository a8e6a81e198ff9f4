package sessions_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
)

// Server-sent events go on for as long as the session lives, however short its
// access tokens do, and stop when the user signs out anywhere: here at another
// process, which shares nothing with this one but the store.
func ExampleManager_Watch() {
	config := exampleConfig()
	manager, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	elsewhere, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	feed, stop := context.WithCancel(context.Background())
	defer stop()
	go manager.WatchRevocations(feed) // hears of other processes

	events := func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		ctx, cancel := manager.Watch(r.Context(), id)
		defer cancel()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello ", id.UserID, "\n\n")
		_ = http.NewResponseController(w).Flush()
		<-ctx.Done() // a real one selects on its news, too
		fmt.Fprint(w, "event: signed-out\ndata: ", context.Cause(ctx), "\n\n")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", middleware.Require(manager)(http.HandlerFunc(events)))
	server := httptest.NewServer(mux)
	defer server.Close()

	grant, err := elsewhere.Create(context.Background(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()

	signedOut := false
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if lines.Text() != "" {
			fmt.Println(lines.Text())
		}
		if !signedOut {
			signedOut = true
			if _, err := elsewhere.End(context.Background(), sessions.EndParams{
				ID: grant.Session.ID, Reason: sessions.EndSignedOut, By: "alice",
			}); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// data: hello alice
	// event: signed-out
	// data: sessions: unauthenticated: access token expired
}

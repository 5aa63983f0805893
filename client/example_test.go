package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/freshet-ml/freshet/client"
)

// exampleServer stands for a running server: the examples show what its answers are.
func exampleServer() (url string, stop func()) {
	mux := http.NewServeMux()
	for route, answer := range map[string]string{
		"POST /v1/events": `{"accepted":1,"duplicates":0,"rejected":[],"position":"AwU"}`,
		"GET /v1/entities/user/u1/predictions/today": `{"pipeline":"today","entity":{"user_id":"u1"},"items":[{"id":"c17","score":0.83},{"id":"c4","score":0.5}],"release":"r12","event_id":"e1"}`,
		"POST /v1/predict/today":                     `{"pipeline":"today","entity":{"user_id":"u1"},"items":[{"id":"c17","score":0.83}],"release":"r12"}`,
		"GET /v1/features/session":                   `{"view":"session","entity":{"user_id":"u1"},"at":"2026-03-01T12:00:00.000Z","features":{"plays":3},"release":"r12"}`,
	} {
		mux.HandleFunc(route, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, answer)
		})
	}
	s := httptest.NewServer(mux)
	return s.URL, s.Close
}

// An event, and the list that follows from it: a read after the position of an answer sees all that the events caused.
func ExampleClient_GetPrediction() {
	url, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	sent, err := c.Send(ctx, map[string]any{"event_id": "e1", "type": "play", "user_id": "u1", "content_id": "c9", "seconds": 312})
	if err != nil {
		log.Fatal(err)
	}
	today, err := c.GetPrediction(ctx, client.User("u1"), "today", &client.PredictionOptions{After: sent.Position, Wait: 5e9})
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range today.Items {
		fmt.Println(item.ID, item.Score)
	}
	// Output:
	// c17 0.83
	// c4 0.5
}

// A prediction that is computed now, of some candidates, and not kept.
func ExampleClient_Predict() {
	url, stop := exampleServer()
	defer stop()
	c, err := client.New(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	best, err := c.Predict(context.Background(), "today", client.PredictRequest{
		Entity: map[string]string{"user_id": "u1"}, Candidates: []any{"c17", "c4"}, Top: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(best.Items[0].ID, "by release", best.Release)
	// Output: c17 by release r12
}

// The features of one view.
func ExampleClient_GetFeatures() {
	url, stop := exampleServer()
	defer stop()
	c, err := client.New(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	session, err := c.GetFeatures(context.Background(), "session", map[string]string{"user_id": "u1"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("plays:", session.Features["plays"])
	// Output: plays: 3
}

package cli

import "github.com/freshet-ml/freshet/client"

// remote are the flags of every command that asks a running server.
type remote struct {
	Server string `default:"http://127.0.0.1:8787" placeholder:"URL" help:"Address of the server (default ${default})."`
	Key    string `placeholder:"KEY" help:"Key to show to the server, if it asks for one."`
}

func (r remote) client() (*client.Client, error) {
	return client.New(r.Server, &client.Options{Key: r.Key, UserAgent: "freshet-cli"})
}

package api

import (
	_ "embed"
	"net/http"
)

// openAPI describes every route; a test holds the routes against it.
//
//go:embed openapi.yaml
var openAPI []byte

func (a *API) getOpenAPI(w *response, _ *http.Request) error {
	w.send(http.StatusOK, "application/yaml", openAPI)
	return nil
}

package client

import (
	"net/url"
	"strconv"
)

// onPage adds to a query which page of a list is wanted: up to limit (0: 100) after the next of the page before.
func onPage(q url.Values, after string, limit int) url.Values {
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

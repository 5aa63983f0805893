package push

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/freshet-ml/freshet"
)

// MaxURLBytes bounds an address that an app or a project file gives.
const MaxURLBytes = 2048

// Addresses say where senders may go. The zero value is safe: https to public addresses only, whatever a name resolves to.
type Addresses struct {
	// Private lets senders go to plain http and to private addresses too: for providers in the operator's own network, and for tests. An app that can
	// register subscriptions can then make the server call any address it can reach.
	Private bool
}

// Check says what is wrong with an address: InvalidArgument. Names are looked at when they are called, not here.
func (a Addresses) Check(address string) error {
	if len(address) > MaxURLBytes {
		return freshet.Errorf(freshet.InvalidArgument, "the address is over %d bytes", MaxURLBytes)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return freshet.Errorf(freshet.InvalidArgument, "expected a whole address, such as https://push.example.com/x, without user and password")
	}
	if u.Scheme != "https" && !(a.Private && u.Scheme == "http") {
		return freshet.Errorf(freshet.InvalidArgument, "expected an address that begins with https://")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !a.allowed(ip) {
		return freshet.Errorf(freshet.InvalidArgument, "%s is not a public address", ip)
	}
	return nil
}

func (a Addresses) allowed(ip netip.Addr) bool { return a.Private || public(ip) }

// special are blocks that are not in netip's own words and lead to somebody's inside, or nowhere.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
}

func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return false
	}
	for _, block := range special {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

// Client makes the HTTP client of a sender. The address is looked at after its name was resolved, at each connection, so that no name can lead
// inside. It follows no redirects, uses no proxy and keeps at most conns connections to a host.
func (a Addresses) Client(conns int) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !a.allowed(at.Addr()) {
			return freshet.Errorf(freshet.PermissionDenied, "%s is not a public address", address)
		}
		return nil
	}}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			MaxConnsPerHost:       conns,
			MaxIdleConnsPerHost:   conns,
			MaxIdleConns:          4 * conns,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 20 * time.Second,
			HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

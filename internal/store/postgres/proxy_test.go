package postgres

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and its server.
type proxy struct {
	server string

	mu     sync.Mutex
	down   bool // refuses connections
	silent bool // takes connections and passes nothing on to the client
	conns  []net.Conn
}

// through returns a proxy, and the URL that leads through it to the database at where.
func through(t *testing.T, where string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.admit(client, server) {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(muffled{p, client}, server)
}

func (p *proxy) admit(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	return !p.down
}

// muffled drops what the server says while the proxy is silent.
type muffled struct {
	p  *proxy
	to net.Conn
}

func (m muffled) Write(data []byte) (int, error) {
	m.p.mu.Lock()
	silent := m.p.silent
	m.p.mu.Unlock()
	if silent {
		return len(data), nil
	}
	return m.to.Write(data)
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

// silence keeps connections and takes new ones, but the server's answers are lost.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// restore lets new connections through.
func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.silent = false, false
}

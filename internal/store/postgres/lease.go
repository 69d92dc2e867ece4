package postgres

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	leaseTTL   = 4 * time.Second // how long a session lives after its last word
	renewEvery = time.Second
	// renewWithin leaves time, within a lease, to connect anew when the server has
	// gone silent.
	renewWithin = 2 * time.Second
	// reconnectAfter grows to reconnectMax while the server is away.
	reconnectAfter = 50 * time.Millisecond
	reconnectMax   = time.Second
)

// renewText writes the lease anew also when it has run out or was swept up.
const renewText = `INSERT INTO sessions (id, expires) VALUES ($1, clock_timestamp() + $2 * interval '1 microsecond')
	ON CONFLICT (id) DO UPDATE SET expires = excluded.expires`

// channel is what a session listens on. Channels are the database's, not the
// schema's; the random name keeps sessions apart.
func channel(session string) string { return "heddle_" + session }

// keeper keeps a session's lease and hears when somebody has left a request for
// the session, on a connection of its own: nothing that goes on in the pool delays it.
type keeper struct {
	config  *pgx.ConnConfig
	session string
	log     *slog.Logger

	conn    *pgx.Conn // nil while there is none
	renewed time.Time
	lapsed  chan struct{} // has an element when the lease may have run out
	heard   func()

	halt  context.CancelFunc
	ended sync.WaitGroup
}

func newKeeper(config *pgx.ConnConfig, session string, log *slog.Logger) *keeper {
	return &keeper{config: config, session: session, log: log, lapsed: make(chan struct{}, 1), halt: func() {}}
}

// connect makes a connection that listens, and renews the lease on it.
func (k *keeper) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, k.config)
	if err != nil {
		return err
	}
	k.conn = conn
	if _, err = conn.Exec(ctx, `LISTEN `+pgx.Identifier{channel(k.session)}.Sanitize()); err == nil {
		err = k.renew(ctx)
	}
	if err != nil {
		k.disconnect()
	}
	return err
}

func (k *keeper) disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = k.conn.Close(ctx) // it is of no use any more either way
	k.conn = nil
}

func (k *keeper) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	if _, err := k.conn.Exec(ctx, renewText, k.session, leaseTTL.Microseconds()); err != nil {
		return err
	}
	now := time.Now()
	if !k.renewed.IsZero() && now.Sub(k.renewed) > leaseTTL {
		k.log.Warn("this session's lease had run out: others may have taken over its runs", "for", now.Sub(k.renewed)-leaseTTL)
	}
	// With the time of an answer that was long on its way, the lease ran out earlier
	// for the server than it did here.
	if !k.renewed.IsZero() && now.Sub(k.renewed) > leaseTTL-renewWithin {
		select {
		case k.lapsed <- struct{}{}:
		default:
		}
	}
	k.renewed = now
	return nil
}

// start goes on in the background with the connection that is there. heard is
// called when there may be requests.
func (k *keeper) start(heard func()) {
	k.heard = heard
	ctx, halt := context.WithCancel(context.Background())
	k.halt = halt
	k.ended.Go(func() { k.run(ctx) })
}

func (k *keeper) run(ctx context.Context) {
	for {
		err := k.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		k.log.Warn("lost the connection that holds the session's lease", "error", err)
		k.disconnect()
		if !k.reconnect(ctx) {
			return
		}
		k.heard() // whatever came while nobody listened
	}
}

// hold renews the lease and waits for notifications until the connection fails or
// ctx is done.
func (k *keeper) hold(ctx context.Context) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, renewEvery)
		var err error
		for err == nil {
			if _, err = k.conn.WaitForNotification(waiting); err == nil {
				k.heard()
			}
		}
		due := waiting.Err() != nil && !k.conn.IsClosed()
		cancel()
		if ctx.Err() != nil || !due {
			return err
		}
		if err := k.renew(ctx); err != nil {
			return err
		}
	}
}

// reconnect tries until there is a connection; false when ctx is done first.
func (k *keeper) reconnect(ctx context.Context) bool {
	for delay := reconnectAfter; ; delay = min(2*delay, reconnectMax) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(delay):
		}
		err := k.connect(ctx)
		if err == nil {
			return true
		}
		k.log.Debug("connecting for the session's lease", "error", err)
	}
}

// end gives the lease up. Without a connection it runs out by itself.
func (k *keeper) end() {
	k.halt()
	k.ended.Wait()
	if k.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewWithin)
	defer cancel()
	if _, err := k.conn.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, k.session); err != nil {
		k.log.Warn("giving up the session's lease: it runs out by itself", "error", err)
	}
	k.disconnect()
}

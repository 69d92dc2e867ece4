package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// Server is what heddle serve is told on top of [Config].
type Server struct {
	// Listen is the address to listen on, host:port. Default: 127.0.0.1:4004, with
	// the port in rego's SERVER_PORT, or in PORT (chainr), if that is set.
	Listen string
	// TLSCert and TLSKey are PEM files; both or neither. Default: "", plain HTTP.
	TLSCert, TLSKey string
	// Key is the secret of a first key, and KeyFile a file that holds it; at most one.
	// Default: "", no key is made.
	Key, KeyFile string
	// OnStop says what becomes of runs when the server is stopped: leave them to the
	// next, or cancel them and wait for their end. Default: leave.
	OnStop string
	// TaskTimeout is how many seconds a run of a task definition may take (rego's
	// TASK_TIMEOUT). Default: 300.
	TaskTimeout string
	// SecretsDir is the directory below which documents may read files (fromFile).
	// Default: "", none.
	SecretsDir string
	// AllowHostVolumes lets runs mount paths of the host. Default: false.
	AllowHostVolumes bool
}

const (
	defaultHost = "127.0.0.1"
	defaultPort = "4004" // rego's
)

// ServerSettings lists the settings of [Server], in the order of its fields.
func ServerSettings() []Setting {
	return []Setting{
		{Flag: "listen", Env: "HEDDLE_LISTEN", Default: "127.0.0.1:4004, with the port of SERVER_PORT or PORT", Help: "address to listen on: host:port"},
		{Flag: "tls-cert", Env: "HEDDLE_TLS_CERT", Default: "plain HTTP", Help: "PEM file of the certificate"},
		{Flag: "tls-key", Env: "HEDDLE_TLS_KEY", Default: "plain HTTP", Help: "PEM file of the certificate's key"},
		{Flag: "", Env: "HEDDLE_KEY", Default: "no key is made", Help: "secret of a first key, with the role admin"},
		{Flag: "key-file", Env: "HEDDLE_KEY_FILE", Default: "no key is made", Help: "file that holds the secret of a first key, with the role admin"},
		{Flag: "on-stop", Env: "HEDDLE_ON_STOP", Default: "leave", Help: "what becomes of runs when the server stops: they go on and are left to the next server, or are cancelled", Values: []string{"leave", "cancel"}},
		{Flag: "task-timeout", Env: "TASK_TIMEOUT", Default: "300", Help: "how many seconds a run of a task definition may take"},
		{Flag: "secrets-dir", Env: "HEDDLE_SECRETS_DIR", Default: "none", Help: "directory of the files that runs may read with fromFile"},
		{Flag: "allow-host-volumes", Env: "HEDDLE_ALLOW_HOST_VOLUMES", Default: "false", Help: "let runs mount paths of the host"},
	}
}

// LoadServer returns the defaults with the environment over them. notes say what of
// the originals' variables is not needed any more; faults of form are in the error.
func LoadServer(lookup func(string) (string, bool)) (s Server, notes []string, err error) {
	get := func(name string) string { value, _ := lookup(name); return value }
	s = Server{Listen: net.JoinHostPort(defaultHost, defaultPort), OnStop: "leave", TaskTimeout: "300"}
	var faults []error
	for _, name := range []string{"PORT", "SERVER_PORT"} { // the last one wins
		if port := get(name); port != "" {
			s.Listen = net.JoinHostPort(defaultHost, port)
			if _, err := portOf(port); err != nil {
				faults = append(faults, heddle.Errorf(heddle.CodeInvalid, "%s: %w", name, err))
			}
		}
	}
	for name, field := range map[string]*string{
		"HEDDLE_LISTEN": &s.Listen, "HEDDLE_TLS_CERT": &s.TLSCert, "HEDDLE_TLS_KEY": &s.TLSKey, "HEDDLE_KEY": &s.Key,
		"HEDDLE_KEY_FILE": &s.KeyFile, "HEDDLE_ON_STOP": &s.OnStop, "TASK_TIMEOUT": &s.TaskTimeout, "HEDDLE_SECRETS_DIR": &s.SecretsDir,
	} {
		if value := get(name); value != "" {
			*field = value
		}
	}
	if value := get("HEDDLE_ALLOW_HOST_VOLUMES"); value != "" {
		if s.AllowHostVolumes, err = strconv.ParseBool(value); err != nil {
			faults = append(faults, heddle.Errorf(heddle.CodeInvalid, "HEDDLE_ALLOW_HOST_VOLUMES: %q is neither true nor false", value))
		}
	}
	if err := checkDriver(get("DB_DRIVER"), get("DB_URL")); err != nil {
		faults = append(faults, err)
	}
	if value := get("IN_CLUSTER"); value != "" {
		notes = append(notes, "IN_CLUSTER is not needed: whether this is a cluster is found out")
	}
	for _, name := range []string{"REDIS_ADDR", "REDIS_ADDRS", "REDIS_MASTER", "REDIS_PASSWORD", "REDIS_DB"} {
		if get(name) != "" {
			notes = append(notes, name+" is not needed: there is no Redis; runs are kept in the data directory (HEDDLE_DATA_DIR), or in PostgreSQL (HEDDLE_DB_URL)")
			break
		}
	}
	return s, notes, errors.Join(faults...)
}

// checkDriver finds what is wrong with rego's choice of a database.
func checkDriver(driver, url string) error {
	switch strings.ToLower(driver) {
	case "", "sqlite":
		return nil
	case "postgres", "postgresql":
		if !isPostgres(url) {
			return heddle.Errorf(heddle.CodeInvalid, "DB_URL: with DB_DRIVER=%s it has to be a URL: postgres://user:password@host:5432/database", driver)
		}
		return nil
	case "mysql":
		return heddle.Errorf(heddle.CodeInvalid, "DB_DRIVER: MySQL is not supported: use PostgreSQL (DB_DRIVER=postgres, DB_URL=postgres://...), or leave DB_DRIVER out for a database in the data directory")
	}
	return heddle.Errorf(heddle.CodeInvalid, "DB_DRIVER: %q is none of sqlite, postgres, postgresql", driver)
}

// Validate returns every fault, each naming the flag and the variable to change, or nil.
func (s *Server) Validate() error {
	var faults []error
	for _, setting := range ServerSettings() {
		var what error
		switch setting.Flag {
		case "listen":
			_, port, err := net.SplitHostPort(s.Listen)
			if _, what = portOf(port); err != nil {
				what = fmt.Errorf("%q is not host:port", s.Listen)
			}
		case "tls-key":
			if (s.TLSCert == "") != (s.TLSKey == "") {
				what = errors.New("certificate and key go together: give both --tls-cert and --tls-key, or neither")
			}
		case "key-file":
			if s.Key != "" && s.KeyFile != "" {
				what = errors.New("HEDDLE_KEY gives a key as well: leave one of them out")
			}
		case "on-stop":
			if !slices.Contains(setting.Values, s.OnStop) {
				what = fmt.Errorf("%q is none of %s", s.OnStop, strings.Join(setting.Values, ", "))
			}
		case "task-timeout":
			if n, err := strconv.Atoi(s.TaskTimeout); err != nil || n < 1 || n > 365*24*3600 {
				what = fmt.Errorf("%q is not a number of seconds from 1", s.TaskTimeout)
			}
		}
		if what != nil {
			faults = append(faults, fault(setting, what.Error()))
		}
	}
	return errors.Join(faults...)
}

func portOf(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return 0, fmt.Errorf("%q is not a port: a number up to 65535 is needed", text)
	}
	return port, nil
}

// Timeout returns how long a run of a task definition may take; valid settings only.
func (s *Server) Timeout() time.Duration {
	seconds, _ := strconv.Atoi(s.TaskTimeout)
	return time.Duration(seconds) * time.Second
}

// Loopback reports whether only this machine can reach the address.
func (s *Server) Loopback() bool {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

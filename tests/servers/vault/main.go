// A real Vault core for Veilflow's live tests: the engines and the ways to log in that the tests use, behind Vault's own HTTP handler.
//
//	vault-test-server -addr 127.0.0.1:8200 [-data DIR] [-tls-cert FILE -tls-key FILE]
//
// Prints one JSON line {address, root_token, unseal_key} as soon as it answers; the two secrets only if it has just
// initialised itself. Without -data all is kept in memory. A server that finds its data again starts sealed, as Vault does,
// and is unsealed through the API. SIGTERM stops it.
package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	log "github.com/hashicorp/go-hclog"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/plugins/database/mysql"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// databases answers the database engine's look-ups. Vault's whole registry would compile every cloud vendor's SDK.
type databases map[string]func() (interface{}, error)

func (d databases) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := d[name]
	return factory, found && kind == consts.PluginTypeDatabase
}

func (d databases) Contains(name string, kind consts.PluginType) bool {
	_, found := d.Get(name, kind)
	return found
}

func (d databases) Keys(kind consts.PluginType) (names []string) {
	for name := range d {
		if d.Contains(name, kind) {
			names = append(names, name)
		}
	}
	return names
}

func (d databases) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (d databases) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func main() {
	address := flag.String("addr", "127.0.0.1:8200", "address to listen on")
	data := flag.String("data", "", "directory that outlives the process; memory without it")
	certificate := flag.String("tls-cert", "", "the server's certificate; plain HTTP without it")
	key := flag.String("tls-key", "", "the certificate's key")
	flag.Parse()
	if err := serve(*address, *data, *certificate, *key); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(address, data, certificate, key string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	scheme := "http"
	if certificate != "" {
		if listener, err = withTLS(listener, certificate, key); err != nil {
			return err
		}
		scheme = "https"
	}
	url := scheme + "://" + listener.Addr().String()
	core, err := newCore(url, data)
	if err != nil {
		return err
	}
	ready := map[string]string{"address": url}
	if err := initialise(core, ready); err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{Type: "tcp", Address: address, MaxRequestSize: vaulthttp.DefaultMaxRequestSize},
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case <-stop:
		return core.Shutdown()
	case err := <-failed:
		return err
	}
}

// withTLS asks for a client's certificate without judging it: that is the cert login's task.
func withTLS(listener net.Listener, certificate, key string) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}), nil
}

func newCore(url, data string) (*vault.Core, error) {
	logger := log.New(&log.LoggerOptions{Level: log.Warn, Output: os.Stderr})
	storage, err := openStorage(data, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical: storage, StorageType: "file", Logger: logger, DisableMlock: true, RedirectAddr: url,
		CredentialBackends: map[string]logical.Factory{
			"approle": approle.Factory, "cert": cert.Factory, "jwt": jwt.Factory, "kubernetes": kubernetes.Factory, "userpass": userpass.Factory,
		},
		LogicalBackends: map[string]logical.Factory{"kv": kv.Factory, "database": database.Factory, "transit": transit.Factory},
		AuditBackends:   map[string]audit.Factory{"file": audit.NewFileBackend},
		BuiltinRegistry: databases{
			"postgresql-database-plugin": postgresql.New,
			"mysql-database-plugin":      mysql.New(mysql.DefaultUserNameTemplate),
		},
	})
}

func openStorage(data string, logger log.Logger) (physical.Backend, error) {
	if data == "" {
		return inmem.NewInmem(nil, logger)
	}
	return file.NewFileBackend(map[string]string{"path": data}, logger)
}

// initialise makes a new core ready and adds its secrets to what is printed; one that finds its data stays sealed.
func initialise(core *vault.Core, ready map[string]string) error {
	result, err := core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}})
	if errors.Is(err, vault.ErrAlreadyInit) {
		return nil
	}
	if err != nil {
		return err
	}
	ready["root_token"], ready["unseal_key"] = result.RootToken, hex.EncodeToString(result.SecretShares[0])
	_, err = core.Unseal(result.SecretShares[0])
	return err
}

// Command asmysql stands between Vitess, which takes its server for MySQL, and a MariaDB
// older than 11.1. It listens on a socket, speaks to the server's, and rewrites on the
// way what would not happen with MySQL: MariaDB calls the variable transaction_isolation
// tx_isolation, its VERSION() makes GORM send RETURNING, which Vitess cannot parse, and
// information_schema has NULL and strings as literals for a column's default.
//
//	asmysql LISTEN SERVER
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"regexp"
)

// rewrites has, for statements that match a pattern, what stands for what.
var rewrites = []struct {
	statement, old *regexp.Regexp
	new            string
}{
	{
		regexp.MustCompile(`(?i)^(?:set|select [^ ]+ from dual) `),
		regexp.MustCompile(`(?i)\btransaction_isolation\b`), "tx_isolation",
	},
	{
		regexp.MustCompile(`(?i)^select version\(\) from dual\b`),
		regexp.MustCompile(`(?i)version\(\)`), "'8.4.6-Vitess'",
	},
	{
		regexp.MustCompile("(?i)^select .* from `?information_schema`?\\.`?columns`? "),
		regexp.MustCompile(`(?i), column_default,`), ", nullif(trim(both '\\'' from column_default), 'NULL') as column_default,",
	},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: asmysql LISTEN SERVER")
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(client, os.Args[2])
	}
}

func serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("unix", address)
	if err != nil {
		log.Print(err)
		return
	}
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	if err := forward(server, bufio.NewReader(client)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		log.Print(err)
	}
	_ = server.Close()
}

// forward copies packets, of three bytes of length, one of sequence and the payload,
// until one end hangs up.
func forward(server io.Writer, client io.Reader) error {
	for {
		packet := make([]byte, 4)
		if _, err := io.ReadFull(client, packet); err != nil {
			return err
		}
		length := int(packet[0]) | int(packet[1])<<8 | int(packet[2])<<16
		packet = append(packet, make([]byte, length)...)
		if _, err := io.ReadFull(client, packet[4:]); err != nil {
			return err
		}
		const query = 3
		if length > 0 && length < 1<<16 && packet[3] == 0 && packet[4] == query {
			statement := rewrite(packet[5:])
			packet = binary.LittleEndian.AppendUint32(nil, uint32(len(statement)+1)) // sequence 0
			packet = append(append(packet, query), statement...)
		}
		if _, err := server.Write(packet); err != nil {
			return err
		}
	}
}

func rewrite(statement []byte) []byte {
	for _, r := range rewrites {
		if r.statement.Match(statement) {
			statement = r.old.ReplaceAll(statement, []byte(r.new))
		}
	}
	return statement
}

// The program that fanwire replaces: one map of clients, and one goroutine that writes every message to each of them in
// turn, as JSON. Its original shares the map between goroutines without a lock and dies of "concurrent map writes" when
// clients come and go on several cores. The mutex here spares it that; nothing else is better than it was.
//
//	gorilla ADDRESS:PORT
//
// /ws: everything to everybody, the sender included; messages are {"username": string, "text": string}. /echo: everything
// back to its sender, whatever it is.
package main

import (
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

type message struct {
	Username string `json:"username"`
	Text     string `json:"text"`
}

var (
	upgrader  = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	broadcast = make(chan message)

	mutex   sync.Mutex
	clients = make(map[*websocket.Conn]bool)
)

// Hears one client until it ends.
func serveChat(response http.ResponseWriter, request *http.Request) {
	client, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	defer client.Close()

	mutex.Lock()
	clients[client] = true
	mutex.Unlock()

	for {
		var said message
		if err := client.ReadJSON(&said); err != nil {
			break
		}
		broadcast <- said
	}

	mutex.Lock()
	delete(clients, client)
	mutex.Unlock()
}

// Writes what any client said to all of them.
func tellAll() {
	for said := range broadcast {
		mutex.Lock()
		for client := range clients {
			if err := client.WriteJSON(said); err != nil {
				client.Close()
				delete(clients, client)
			}
		}
		mutex.Unlock()
	}
}

func serveEcho(response http.ResponseWriter, request *http.Request) {
	client, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	defer client.Close()

	for {
		kind, said, err := client.ReadMessage()
		if err != nil {
			return
		}
		if err := client.WriteMessage(kind, said); err != nil {
			return
		}
	}
}

func serve(response http.ResponseWriter, request *http.Request) {
	if strings.HasPrefix(request.URL.Path, "/echo") {
		serveEcho(response, request)
	} else {
		serveChat(response, request)
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gorilla ADDRESS:PORT")
	}
	go tellAll()
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(serve)))
}

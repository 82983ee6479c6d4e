// jsonapi serves a small JSON API over HTTP to clients in the same process, and traces
// itself meanwhile: the heap of a typical service (buffers, maps, strings, a goroutine for
// each connection).
//
//	jsonapi TRACE [SECONDS]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/trace"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

type item struct {
	ID     int               `json:"id"`
	Name   string            `json:"name"`
	Tags   []string          `json:"tags"`
	Price  float64           `json:"price"`
	Fields map[string]string `json:"fields"`
	Made   time.Time         `json:"made"`
}

type store struct {
	mu    sync.RWMutex
	items map[int]*item
	next  int
}

func (s *store) put(w http.ResponseWriter, r *http.Request) {
	var it item
	if err := json.NewDecoder(r.Body).Decode(&it); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	it.Made = time.Now()
	s.mu.Lock()
	s.next++
	it.ID = s.next
	s.items[it.ID] = &it
	delete(s.items, it.ID-2000)
	s.mu.Unlock()
	json.NewEncoder(w).Encode(&it)
}

func (s *store) list(w http.ResponseWriter, r *http.Request) {
	tag := r.URL.Query().Get("tag")
	found := []*item{}
	s.mu.RLock()
	for _, it := range s.items {
		for _, t := range it.Tags {
			if t == tag && len(found) < 50 {
				found = append(found, it)
			}
		}
	}
	s.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(found)
}

func client(base string, n int, until time.Time) {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	for i := 0; time.Now().Before(until); i++ {
		it := item{
			Name:   fmt.Sprintf("item %d of client %d", i, n),
			Tags:   []string{"t" + strconv.Itoa(i%40), strings.Repeat("x", i%30)},
			Price:  float64(i) / 7,
			Fields: map[string]string{"color": "blue", "size": strconv.Itoa(i % 9)},
		}
		body, _ := json.Marshal(it)
		resp, err := c.Post(base+"/items", "application/json", bytes.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if i%5 == 0 {
			resp, err = c.Get(base + "/items?tag=t" + strconv.Itoa(i%40))
			if err != nil {
				log.Fatal(err)
			}
			var got []item
			json.NewDecoder(resp.Body).Decode(&got)
			resp.Body.Close()
		}
	}
	c.CloseIdleConnections()
}

func main() {
	seconds := 1.0
	if len(os.Args) > 2 {
		seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	f, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	s := &store{items: map[int]*item{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /items", s.put)
	mux.HandleFunc("GET /items", s.list)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, mux)
	if err := trace.Start(f); err != nil {
		log.Fatal(err)
	}
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var wg sync.WaitGroup
	for n := 0; n < 8; n++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			client("http://"+l.Addr().String(), n, until)
		}()
	}
	wg.Wait()
	trace.Stop()
	f.Close()
}

// natsload is the load for a nats-server that is being recorded: publishers, subscribers
// with wildcards, requests with replies, connections that come and go.
//
//	natsload URL SECONDS
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

func session(url string, n int, until time.Time, done *atomic.Int64) {
	nc, err := nats.Connect(url, nats.Name(fmt.Sprintf("client %d", n)))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	nc.Subscribe(fmt.Sprintf("area.%d.*", n), func(m *nats.Msg) { done.Add(1) })
	nc.QueueSubscribe("work", "pool", func(m *nats.Msg) { m.Respond([]byte("done")) })
	for i := 0; time.Now().Before(until); i++ {
		payload := make([]byte, 16+(i*37)%1500)
		nc.Publish(fmt.Sprintf("area.%d.item%d", (n+i)%8, i%100), payload)
		if i%50 == 0 {
			nc.Request("work", payload[:16], time.Second)
		}
		if i%1000 == 999 {
			s, _ := nc.SubscribeSync(fmt.Sprintf("area.*.item%d", i%100))
			nc.Flush()
			s.Unsubscribe()
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	nc.Flush()
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if err != nil {
		log.Fatal(err)
	}
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var wg sync.WaitGroup
	var done atomic.Int64
	for n := 0; n < 8; n++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Now().Before(until) {
				stop := time.Now().Add(400 * time.Millisecond)
				if stop.After(until) {
					stop = until
				}
				session(os.Args[1], n, stop, &done)
			}
		}()
	}
	wg.Wait()
	fmt.Println(done.Load(), "messages came back")
}

module reheap/corpus

go 1.23

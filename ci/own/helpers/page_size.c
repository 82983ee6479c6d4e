/* page_size.c - prints the system's page size as a program sees it. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("%ld\n", sysconf(_SC_PAGESIZE));
	return 0;
}

/* bench.h - what the benchmarks share: a clock, medians, payloads, and a base that is nothing but slow. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <wbstore/wbstore.h>

int64_t bench_now_ns(void);
double bench_median(double *values, size_t count); /* sorts them */
void bench_check(int status, const char *what);    /* says what failed and exits, if it did */

/* Payload number n, made from a buffer of the caller's: only a few bytes change, so making it costs nothing beside it.
 * */
void bench_payload(unsigned char *bytes, size_t size, uint64_t n);

/* A base with SHA-256 addresses that stores nothing. Its put sleeps for delay_us; below 0: until its ctx ends. */
int bench_base_new(blob_store **out, int64_t delay_us);

/* Bytes that malloc has handed out and not got back, mapped ones included. */
size_t bench_heap_bytes(void);

/* Memory of the process that is there, not swapped out or never touched. */
size_t bench_resident_bytes(void);

/* A line with how busy the machine is: a figure means little without it. */
void bench_print_load(void);

#endif

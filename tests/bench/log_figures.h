/* log_figures.h - the figures of bench_log that stand in log_life.c, and their units. */
#ifndef LOG_FIGURES_H
#define LOG_FIGURES_H

#include "log_rounds.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

void figure_open(const log_effort *effort);
void figure_memory(const log_effort *effort);
void figure_space(const log_effort *effort);

#endif

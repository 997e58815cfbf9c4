// A stand-in for libnvidia-ml.so.1: up to 16 cards that move, with MIG, faults and hangs as control.h says.
// Cards with an even number are A100 (no fan, ECC, MIG), the others RTX 4090 (a fan, no ECC, no MIG).

#include "control.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef unsigned int u;
typedef unsigned long long ull;
typedef struct { int card, slice; } *dev;
#define API(...) __attribute__((visibility("default"))) int __VA_ARGS__
#define ENTER(card) do { int code_ = enter(__func__, card); if (code_) return code_; } while (0)
#define SAME(name, of, parameters, arguments) API(name parameters) { return of arguments; }

static struct { int card, slice; } handles[MAX_CARDS][MAX_SLICES + 1];

static const u ABSENT = -1;
static int big(int card) { return card % 2 == 0; }
static double now(void) {
    struct timespec s;
    if (control_now()->still) return 0;
    clock_gettime(CLOCK_MONOTONIC, &s);
    return s.tv_sec + s.tv_nsec * 1e-9;
}
static double wave(int card, double period) { return sin(now() / period + card * 2); }
static ull total(dev d) {
    ull whole = big(d->card) ? 80ull << 30 : 24ull << 30;
    return d->slice < 0 ? whole : whole / 8;
}
static ull used(dev d) {
    ull bytes = 0;
    const struct control *c = control_now();
    for (int i = 0; i < c->n_processes; i++)
        if (c->processes[i].card == d->card && (d->slice < 0 || c->processes[i].slice == d->slice))
            bytes += c->processes[i].bytes;
    if (bytes) return bytes + (64ull << 20);
    return total(d) / 100 * (ull)(55 + 25 * wave(d->card, 15));
}
static int bus(int card) { return 7 + 15 * card; }
static dev handle(int card, int slice) {
    handles[card][slice + 1].card = card;
    handles[card][slice + 1].slice = slice;
    return (dev)&handles[card][slice + 1];
}
static int real(int index) { const struct control *c = control_now(); return c->reversed ? c->cards - 1 - index : index; }

API(nvmlInit_v2(void)) { ENTER(ANY); opened(1); return OK; }
API(nvmlInitWithFlags(u flags)) { (void)flags; ENTER(ANY); opened(1); return OK; }
SAME(nvmlInit, nvmlInit_v2, (void), ())
API(nvmlShutdown(void)) { ENTER(ANY); opened(0); return OK; }
__attribute__((visibility("default"))) const char *nvmlErrorString(int code) {
    return code == GPU_IS_LOST ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported" : "Unknown Error";
}
API(nvmlSystemGetDriverVersion(char *s, u n)) { ENTER(ANY); snprintf(s, n, "580.95.05"); return OK; }
API(nvmlSystemGetNVMLVersion(char *s, u n)) { ENTER(ANY); snprintf(s, n, "13.580.95.05"); return OK; }
API(nvmlSystemGetCudaDriverVersion_v2(int *v)) { ENTER(ANY); *v = 13000; return OK; }
SAME(nvmlSystemGetCudaDriverVersion, nvmlSystemGetCudaDriverVersion_v2, (int *v), (v))
API(nvmlSystemGetProcessName(u pid, char *s, u n)) { (void)pid; ENTER(ANY); snprintf(s, n, "llama-server"); return OK; }

API(nvmlDeviceGetCount_v2(u *n)) { ENTER(ANY); *n = control_now()->cards; return OK; }
SAME(nvmlDeviceGetCount, nvmlDeviceGetCount_v2, (u *n), (n))
API(nvmlDeviceGetHandleByIndex_v2(u i, dev *d)) {
    int card = (int)i < control_now()->cards ? real(i) : ANY;
    ENTER(card);
    if (card == ANY) return INVALID_ARGUMENT;
    *d = handle(card, -1);
    return OK;
}
SAME(nvmlDeviceGetHandleByIndex, nvmlDeviceGetHandleByIndex_v2, (u i, dev *d), (i, d))
static int by_bus(const char *s, dev *d) {
    u domain, number;
    if (sscanf(s, "%x:%x:", &domain, &number) != 2) return NOT_FOUND;
    for (int i = 0; i < control_now()->cards; i++)
        if (bus(i) == (int)number) { *d = handle(i, -1); return OK; }
    return NOT_FOUND;
}
API(nvmlDeviceGetHandleByPciBusId_v2(const char *s, dev *d)) { ENTER(ANY); return by_bus(s, d); }
API(nvmlDeviceGetHandleByUUID(const char *s, dev *d)) {
    u card;
    ENTER(ANY);
    if (sscanf(s, "GPU-%x", &card) != 1 || (card >>= 16) >= MAX_CARDS) return NOT_FOUND;
    *d = handle(card, -1);
    return OK;
}
API(nvmlDeviceGetName(dev d, char *s, u n)) {
    ENTER(d->card);
    const char *name = big(d->card) ? "NVIDIA A100-SXM4-80GB" : "NVIDIA GeForce RTX 4090";
    snprintf(s, n, d->slice < 0 ? "%s" : "%s MIG 1g.10gb", name);
    return OK;
}
API(nvmlDeviceGetUUID(dev d, char *s, u n)) {
    ENTER(d->card);
    if (d->slice < 0) snprintf(s, n, "GPU-%04x%04x-0000-0000-0000-%012x", d->card, d->card, d->card);
    else snprintf(s, n, "MIG-%04x%04x-0000-0000-0000-%012x", d->card, d->slice, d->card);
    return OK;
}
API(nvmlDeviceGetIndex(dev d, u *i)) { ENTER(d->card); *i = real(d->card); return OK; }
API(nvmlDeviceGetMinorNumber(dev d, u *i)) { ENTER(d->card); *i = d->card; return OK; }
API(nvmlDeviceGetPciInfo_v3(dev d, char *p)) {
    ENTER(d->card);
    memset(p, 0, 68);
    snprintf(p, 16, "0000:%02X:00.0", bus(d->card));
    *(u *)(p + 20) = bus(d->card);
    snprintf(p + 36, 32, "00000000:%02X:00.0", bus(d->card));
    return OK;
}
SAME(nvmlDeviceGetPciInfo_v2, nvmlDeviceGetPciInfo_v3, (dev d, char *p), (d, p))

API(nvmlDeviceGetMemoryInfo(dev d, ull *m)) {
    ENTER(d->card);
    m[0] = total(d); m[2] = used(d) + (500ull << 20); m[1] = m[0] - m[2];
    return OK;
}
API(nvmlDeviceGetMemoryInfo_v2(dev d, char *p)) {
    ENTER(d->card);
    ull *m = (ull *)(p + 8);
    if (control_now()->garbage) { m[0] = m[1] = m[2] = m[3] = -1; return OK; }
    m[0] = total(d); m[1] = 500ull << 20; m[3] = used(d); m[2] = m[0] - m[3] - m[1];
    return OK;
}
API(nvmlDeviceGetBAR1MemoryInfo(dev d, ull *m)) { ENTER(d->card); m[0] = 128ull << 30; m[2] = 1 << 24; m[1] = m[0] - m[2]; return OK; }
API(nvmlDeviceGetUtilizationRates(dev d, u *r)) {
    ENTER(d->card);
    if (control_now()->slices[d->card]) return NOT_SUPPORTED;
    if (control_now()->garbage) { r[0] = 101; r[1] = ABSENT; return OK; }
    r[0] = (u)(50 + 49 * wave(d->card, 7)); r[1] = (u)(30 + 25 * wave(d->card, 5));
    return OK;
}
API(nvmlDeviceGetEncoderUtilization(dev d, u *a, u *b)) { ENTER(d->card); *a = 0; *b = 1000; return OK; }
API(nvmlDeviceGetDecoderUtilization(dev d, u *a, u *b)) { ENTER(d->card); *a = 0; *b = 1000; return OK; }
static u degrees(int card) { return (u)(58 + 12 * wave(card, 20)); }
API(nvmlDeviceGetTemperature(dev d, int sensor, u *v)) { (void)sensor; ENTER(d->card); *v = degrees(d->card); return OK; }
API(nvmlDeviceGetTemperatureV(dev d, u *t)) { ENTER(d->card); t[2] = degrees(d->card); return OK; }
API(nvmlDeviceGetTemperatureThreshold(dev d, int which, u *v)) { (void)which; ENTER(d->card); *v = 92; return OK; }
API(nvmlDeviceGetFanSpeed(dev d, u *v)) { ENTER(d->card); if (big(d->card)) return NOT_SUPPORTED; *v = 47; return OK; }
SAME(nvmlDeviceGetFanSpeed_v2, nvmlDeviceGetFanSpeed, (dev d, u fan, u *v), (d + 0 * fan, v))
API(nvmlDeviceGetPowerUsage(dev d, u *v)) { ENTER(d->card); *v = control_now()->garbage ? ABSENT : (u)(250000 + 120000 * wave(d->card, 7)); return OK; }
API(nvmlDeviceGetEnforcedPowerLimit(dev d, u *v)) { ENTER(d->card); *v = big(d->card) ? 400000 : 450000; return OK; }
API(nvmlDeviceGetPowerManagementLimit(dev d, u *v)) { ENTER(d->card); *v = big(d->card) ? 400000 : 450000; return OK; }
API(nvmlDeviceGetClockInfo(dev d, int which, u *v)) { ENTER(d->card); *v = control_now()->garbage ? ABSENT : which == 2 ? 1593 : 1410; return OK; }
API(nvmlDeviceGetMaxClockInfo(dev d, int which, u *v)) { ENTER(d->card); *v = which == 2 ? 1593 : 1980; return OK; }
API(nvmlDeviceGetPerformanceState(dev d, int *v)) { ENTER(d->card); *v = control_now()->garbage ? 32 : 2; return OK; }
API(nvmlDeviceGetCurrentClocksEventReasons(dev d, ull *v)) { ENTER(d->card); *v = 0x4 | 0x20; return OK; }
API(nvmlDeviceGetCurrentClocksThrottleReasons(dev d, ull *v)) { ENTER(d->card); *v = 0x4 | 0x20; return OK; }
API(nvmlDeviceGetPersistenceMode(dev d, int *v)) { ENTER(d->card); *v = 1; return OK; }
API(nvmlDeviceGetComputeMode(dev d, int *v)) { ENTER(d->card); *v = 0; return OK; }
API(nvmlDeviceGetDisplayActive(dev d, int *v)) { ENTER(d->card); *v = 0; return OK; }
API(nvmlDeviceGetDisplayMode(dev d, int *v)) { ENTER(d->card); *v = 0; return OK; }
API(nvmlDeviceGetEccMode(dev d, int *a, int *b)) { ENTER(d->card); *a = *b = big(d->card); return OK; }
API(nvmlDeviceGetTotalEccErrors(dev d, int error, int counter, ull *v)) {
    (void)counter;
    ENTER(d->card);
    if (!big(d->card)) return NOT_SUPPORTED;
    *v = error ? 0 : 3;
    return OK;
}
API(nvmlDeviceGetPcieThroughput(dev d, int counter, u *v)) { ENTER(d->card); *v = counter ? 820000 : 310000; return OK; }
API(nvmlDeviceGetCurrPcieLinkGeneration(dev d, u *v)) { ENTER(d->card); *v = 4; return OK; }
API(nvmlDeviceGetCurrPcieLinkWidth(dev d, u *v)) { ENTER(d->card); *v = 16; return OK; }
API(nvmlDeviceGetMaxPcieLinkGeneration(dev d, u *v)) { ENTER(d->card); *v = 4; return OK; }
API(nvmlDeviceGetMaxPcieLinkWidth(dev d, u *v)) { ENTER(d->card); *v = 16; return OK; }
API(nvmlDeviceGetCudaComputeCapability(dev d, int *a, int *b)) { ENTER(d->card); *a = 8; *b = big(d->card) ? 0 : 9; return OK; }

API(nvmlDeviceGetMigMode(dev d, u *a, u *b)) {
    ENTER(d->card);
    if (!big(d->card)) return NOT_SUPPORTED;
    *a = *b = control_now()->slices[d->card] > 0;
    return OK;
}
API(nvmlDeviceGetMaxMigDeviceCount(dev d, u *n)) { ENTER(d->card); *n = big(d->card) ? MAX_SLICES : 0; return OK; }
API(nvmlDeviceGetMigDeviceHandleByIndex(dev d, u i, dev *slice)) {
    ENTER(d->card);
    if ((int)i >= control_now()->slices[d->card]) return NOT_FOUND;
    *slice = handle(d->card, i);
    return OK;
}
API(nvmlDeviceGetGpuInstanceId(dev d, u *v)) { ENTER(d->card); *v = d->slice + 1; return OK; }
API(nvmlDeviceGetComputeInstanceId(dev d, u *v)) { ENTER(d->card); *v = 0; return OK; }

struct info { u pid; ull bytes; u gpu_instance, compute_instance; };
struct sample { u pid; ull time; u sm, memory, encoder, decoder; };
static int is_on(const struct process *p, dev d) { return p->card == d->card && (d->slice < 0 || p->slice == d->slice); }
static u count(dev d) {
    const struct control *c = control_now();
    u n = 0;
    for (int i = 0; i < c->n_processes; i++) n += is_on(&c->processes[i], d);
    return n;
}
API(nvmlDeviceGetComputeRunningProcesses_v3(dev d, u *n, struct info *list)) {
    ENTER(d->card);
    const struct control *c = control_now();
    u room = *n, needed = count(d), at = 0;
    *n = needed;
    if (room < needed) return INSUFFICIENT_SIZE;
    for (int i = 0; i < c->n_processes && list; i++)
        if (is_on(&c->processes[i], d))
            list[at++] = (struct info){c->processes[i].pid, c->garbage ? -1 : c->processes[i].bytes, c->processes[i].slice, 0};
    return OK;
}
SAME(nvmlDeviceGetComputeRunningProcesses_v2, nvmlDeviceGetComputeRunningProcesses_v3, (dev d, u *n, struct info *l), (d, n, l))
API(nvmlDeviceGetGraphicsRunningProcesses_v3(dev d, u *n, struct info *list)) { (void)list; ENTER(d->card); *n = 0; return OK; }
SAME(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlDeviceGetGraphicsRunningProcesses_v3, (dev d, u *n, struct info *l), (d, n, l))
API(nvmlDeviceGetProcessUtilization(dev d, struct sample *list, u *n, ull since)) {
    ENTER(d->card);
    const struct control *c = control_now();
    u room = *n, needed = count(d), at = 0;
    *n = needed;
    if (!needed) return NOT_FOUND;
    if (!list || room < needed) return INSUFFICIENT_SIZE;
    for (int i = 0; i < c->n_processes; i++)
        if (is_on(&c->processes[i], d))
            list[at++] = (struct sample){c->processes[i].pid, c->garbage ? since : since + 1000, c->processes[i].util, 0, 0, 0};
    return OK;
}

/* The loops that the worker is compared with: llama.cpp called from C, with nothing around it.
 *
 * Contexts, samplers and tokens are made by the caller, with the worker's own parameters, so that both sides
 * compute the same. Of llama.h only what these loops call is declared here. */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
} llama_batch;

llama_batch llama_batch_init(int32_t n_tokens, int32_t embd, int32_t n_seq_max);
void llama_batch_free(llama_batch batch);
int32_t llama_decode(void *ctx, llama_batch batch);
void *llama_get_memory(const void *ctx);
void llama_memory_clear(void *mem, bool data);
int32_t llama_sampler_sample(void *sampler, void *ctx, int32_t idx);
bool llama_vocab_is_eog(const void *vocab, int32_t token);
int32_t llama_token_to_piece(const void *vocab, int32_t token, char *buf, int32_t length, int32_t lstrip,
                             bool special);
float *llama_get_embeddings_seq(void *ctx, int32_t seq_id);
int32_t llama_tokenize(const void *vocab, const char *text, int32_t text_len, int32_t *tokens,
                       int32_t n_tokens_max, bool add_special, bool parse_special);

enum { ROOM_FOR_MARKS = 8 }; /* more than a vocabulary puts around a text */

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int add(llama_batch *batch, int32_t token, int32_t pos, int32_t seq, bool output) {
    int index = batch->n_tokens++;
    batch->token[index] = token;
    batch->pos[index] = pos;
    batch->n_seq_id[index] = 1;
    batch->seq_id[index][0] = seq;
    batch->logits[index] = output;
    return index;
}

/* Evaluate the same prompt for every sequence, at most `room` tokens at once; returns llama_decode's code. */
static int read_prompts(void *ctx, llama_batch *batch, const int32_t *prompt, int n_prompt, int n_seq,
                        int room, int32_t *outputs) {
    int code = 0;
    for (int seq = 0; seq < n_seq && !code; seq++)
        for (int pos = 0; pos < n_prompt && !code; pos++) {
            bool last = pos == n_prompt - 1;
            int index = add(batch, prompt[pos], pos, seq, last);
            if (last) outputs[seq] = index;
            bool end = last && seq == n_seq - 1;
            if (end || batch->n_tokens == room) {
                code = llama_decode(ctx, *batch);
                if (!end) batch->n_tokens = 0;
            }
        }
    return code;
}

/* Write `n_tokens` tokens on each of `n_seq` sequences after the same prompt.
 *
 * `tokens` gets those of the first sequence and `cpu` the process's CPU seconds after each of them. Returns
 * the wall seconds of it all, negative when llama.cpp fails or a sequence ends early. */
double generate(void *ctx, const void *vocab, void **samplers, int n_seq, const int32_t *prompt,
                int n_prompt, int room, int n_tokens, int32_t *tokens, double *cpu) {
    double started = seconds(CLOCK_MONOTONIC);
    llama_batch batch = llama_batch_init(room, 0, 1);
    int32_t outputs[256], drawn[256];
    char piece[512];
    llama_memory_clear(llama_get_memory(ctx), true);
    int failed = read_prompts(ctx, &batch, prompt, n_prompt, n_seq, room, outputs);
    for (int done = 0; done < n_tokens && !failed; done++) {
        for (int seq = 0; seq < n_seq; seq++) {
            drawn[seq] = llama_sampler_sample(samplers[seq], ctx, outputs[seq]);
            failed |= llama_vocab_is_eog(vocab, drawn[seq]);
            llama_token_to_piece(vocab, drawn[seq], piece, sizeof piece, 0, false);
        }
        tokens[done] = drawn[0];
        cpu[done] = seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (done == n_tokens - 1) break;
        batch.n_tokens = 0;
        for (int seq = 0; seq < n_seq; seq++)
            outputs[seq] = add(&batch, drawn[seq], n_prompt + done, seq, true);
        failed |= llama_decode(ctx, batch) != 0;
    }
    llama_batch_free(batch);
    return failed ? -1.0 : seconds(CLOCK_MONOTONIC) - started;
}

/* Tokens of one text in `tokens`, which has room for them; returns how many. */
static int32_t tokenize(const void *vocab, const char *text, int32_t *tokens) {
    int32_t length = (int32_t)strlen(text);
    return llama_tokenize(vocab, text, length, tokens, length + ROOM_FOR_MARKS, true, false);
}

/* Turn texts into vectors of length one; batch g holds the texts `groups[g]..groups[g+1]`.
 *
 * All texts are tokenised before the first batch, which takes `tokenising` wall seconds of those that are
 * returned. The result is negative when llama.cpp fails. */
double embed(void *ctx, const void *vocab, const char **texts, const int32_t *groups, int n_groups, int room,
             int width, float *vectors, double *tokenising) {
    double started = seconds(CLOCK_MONOTONIC);
    int n_texts = groups[n_groups], failed = 0;
    size_t most = 0;
    for (int text = 0; text < n_texts; text++) most += strlen(texts[text]) + ROOM_FOR_MARKS;
    int32_t *tokens = malloc(most * sizeof *tokens), *starts = calloc((size_t)n_texts + 1, sizeof *starts);
    for (int text = 0; text < n_texts; text++) {
        int32_t count = tokenize(vocab, texts[text], tokens + starts[text]);
        failed |= count < 0;
        starts[text + 1] = starts[text] + (count < 0 ? 0 : count);
    }
    *tokenising = seconds(CLOCK_MONOTONIC) - started;
    llama_batch batch = llama_batch_init(room, 0, 1);
    for (int group = 0; group < n_groups && !failed; group++) {
        int first = groups[group], last = groups[group + 1];
        batch.n_tokens = 0;
        for (int text = first; text < last; text++)
            for (int at = starts[text]; at < starts[text + 1]; at++)
                add(&batch, tokens[at], at - starts[text], text - first, true);
        void *memory = llama_get_memory(ctx);
        if (memory) llama_memory_clear(memory, true);
        failed = llama_decode(ctx, batch);
        for (int text = first; text < last && !failed; text++) {
            float *from = llama_get_embeddings_seq(ctx, text - first), *to = vectors + (size_t)text * width;
            double sum = 0;
            for (int i = 0; i < width; i++) sum += (double)from[i] * from[i];
            for (int i = 0; i < width; i++) to[i] = (float)(from[i] / sqrt(sum));
        }
    }
    llama_batch_free(batch);
    free(tokens);
    free(starts);
    return failed ? -1.0 : seconds(CLOCK_MONOTONIC) - started;
}

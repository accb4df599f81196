# %% add_body: no bound check
# says: out-of-bounds read of 4 bytes at byte 280 of argument 0
def add_body():
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    c[i] = a[i] + b[i];
    """

# %% add_body: a bound check that lets one too many in
# says: send home threads without work. The checker says: add, line 4, block (2, 0, 0), thread (6, 0, 0)
def add_body():
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) c[i] = a[i] + b[i];
    """

# %% add_body: a bound check that keeps one out
# says: the last number was left out
def add_body():
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n - 1) c[i] = a[i] + b[i];
    """

# %% add_body: the number within the block only
# says: so i must also depend on blockIdx.x
def add_body():
    return """
    int i = threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
    """

# %% add_body: added to what was there
# says: use = and not +=
def add_body():
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] += a[i] + b[i];
    """

# %% add_body: Python in place of C
# says: the compiler does not understand this text
def add_body():
    return """
    i = blockIdx.x * blockDim.x + threadIdx.x
    if i < n:
        c[i] = a[i] + b[i]
    """

# %% add_body: nothing happens
# says: c is as it was
def add_body():
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    """

# %% add_body: no text
# says: gives back no text
def add_body():
    print("int i = blockIdx.x * blockDim.x + threadIdx.x;")

# %% gather_body: the index not used
# says: the rows stand in their old order
def gather_body():
    return """
    int row = blockIdx.x;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[row * d + j] = x[row * d + j];
    """

# %% gather_body: one column for each thread and no loop
# says: the columns from 32 on are missing
def gather_body():
    return """
    int row = blockIdx.x, j = threadIdx.x;
    if (j < d) y[row * d + j] = x[index[row] * d + j];
    """

# %% gather_body: no loop and no bound check
# says: the columns from 32 on are missing
def gather_body():
    return """
    int row = blockIdx.x, j = threadIdx.x;
    y[row * d + j] = x[index[row] * d + j];
    """

# %% gather_body: a row number in place of an element number
# says: a row starts d numbers after the one before
def gather_body():
    return """
    int row = blockIdx.x;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[row * d + j] = x[index[row] + j];
    """

# %% gather_body: every thread copies the whole row
# says: its threads must take different columns
def gather_body():
    return """
    int row = blockIdx.x;
    for (int j = 0; j < d; j++)
        y[row * d + j] = x[index[row] * d + j];
    """

# %% gather_body: a scatter
# says: not the other way round
def gather_body():
    return """
    int row = blockIdx.x;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[index[row] * d + j] = x[row * d + j];
    """

# %% gather_body: the same thread number as row
# says: a block has one row of the result
def gather_body():
    return """
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    for (int j = 0; j < d; j++)
        y[row * d + j] = x[index[row] * d + j];
    """

# %% combine_body: no gate
# says: the gates are missing
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum += rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: no bound check
# says: send home the threads with column >= d
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum += gates[a] * rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: dropped assignments not skipped
# says: skip assignments with inv[a] < 0
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        sum += gates[a] * rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: row a in place of row inv[a]
# says: assignment a has row inv[a], not row a
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum += gates[a] * rows[a * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: the gate of the row's number
# says: gates[a], but row inv[a]
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum += gates[inv[a]] * rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: only the last one
# says: only the last assignment is left
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum = gates[a] * rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: added to what was in y
# says: start the sum at 0 and write it with =
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
        if (inv[a] >= 0) y[token * d + column] += gates[a] * rows[inv[a] * d + column];
    """

# %% combine_body: written only where there is an assignment
# says: a token without assignments must get 0
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++) {
        if (inv[a] < 0) continue;
        sum += gates[a] * rows[inv[a] * d + column];
        y[token * d + column] = sum;
    }
    """

# %% combine_body: one assignment too many
# says: a thread read beyond inv
def combine_body():
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a <= row_ptr[token + 1]; a++)
        if (inv[a] >= 0) sum += gates[a] * rows[inv[a] * d + column];
    y[token * d + column] = sum;
    """

# %% combine_body: a token for each thread
# says: there is one block for each token
def combine_body():
    return """
    int token = blockIdx.x * blockDim.x + threadIdx.x;
    for (int column = 0; column < d; column++) {
        float sum = 0;
        for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++)
            if (inv[a] >= 0) sum += gates[a] * rows[inv[a] * d + column];
        y[token * d + column] = sum;
    }
    """

# %% barrier_lines: only between writing and reading
# says: a barrier is missing after the reading
def barrier_lines():
    return [7]

# %% barrier_lines: only at the end of a round
# says: a barrier is missing between row[t] = value and the reading
def barrier_lines():
    return [11]

# %% barrier_lines: inside the if
# says: this barrier stands inside the if
def barrier_lines():
    return [7, 10]

# %% barrier_lines: before the write and not after
# says: a barrier is missing between row[t] = value and the reading
def barrier_lines():
    return [6, 11]

# %% barrier_lines: everywhere
# says: two are enough
def barrier_lines():
    return [6, 7, 11]

# %% barrier_lines: none
# says: a thread reads its neighbour's number before it is there
def barrier_lines():
    return []

# %% barrier_lines: outside the loop
# says: a barrier is missing between row[t] = value and the reading
def barrier_lines():
    return [5, 12]

# %% barrier_lines: no answer
# says: gives nothing back
def barrier_lines():
    print(7, 11)

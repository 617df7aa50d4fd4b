	.file	"<string>"
	.section	.ltext,"axl",@progbits
	.globl	_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.p2align	4
	.type	_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx,@function
_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%r13
	.cfi_def_cfa_offset 40
	pushq	%r12
	.cfi_def_cfa_offset 48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	subq	$184, %rsp
	.cfi_def_cfa_offset 240
	.cfi_offset %rbx, -56
	.cfi_offset %r12, -48
	.cfi_offset %r13, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	movq	344(%rsp), %r14
	movq	288(%rsp), %r15
	movq	248(%rsp), %r12
	movabsq	$NRT_incref, %rbx
	movq	%rdi, 48(%rsp)
	movq	%rdx, %rdi
	movq	%rdx, 40(%rsp)
	callq	*%rbx
	movq	%r15, %rdi
	callq	*%rbx
	movq	%r14, %rdi
	callq	*%rbx
	testq	%r12, %r12
	leaq	3(%r12), %rdx
	setle	%al
	shrq	$2, %rdx
	sete	%cl
	orb	%al, %cl
	cmpb	$1, %cl
	jne	.LBB0_1
.LBB0_26:
	movq	288(%rsp), %rdi
	movabsq	$NRT_decref, %rbx
	vzeroupper
	callq	*%rbx
	movq	40(%rsp), %rdi
	callq	*%rbx
	movq	344(%rsp), %rdi
	callq	*%rbx
	movq	48(%rsp), %rax
	movq	$0, (%rax)
	xorl	%eax, %eax
	addq	$184, %rsp
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%r12
	.cfi_def_cfa_offset 40
	popq	%r13
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	retq
.LBB0_1:
	.cfi_def_cfa_offset 240
	movq	400(%rsp), %rsi
	movq	408(%rsp), %r9
	movq	%r12, %r8
	movq	272(%rsp), %r10
	movq	264(%rsp), %rbx
	movq	320(%rsp), %r11
	movq	376(%rsp), %rdi
	movq	416(%rsp), %rcx
	movq	256(%rsp), %r14
	movq	%rdx, 56(%rsp)
	movq	%rsi, %r12
	imulq	%r8, %r12
	leaq	(%r9,%r9), %rax
	leaq	(,%rsi,4), %rbp
	movq	%rsi, %r15
	cmpq	%r12, %rax
	cmovgq	%rax, %r12
	leaq	(%rbp,%r9,4), %rax
	shlq	$4, %r15
	leaq	(%rsi,%r12), %r13
	subq	%r9, %r12
	movq	%r15, 8(%rsp)
	movq	%r12, 168(%rsp)
	leaq	(%r10,%r10,2), %r12
	leaq	(%rbx,%rbx), %r10
	subq	%r9, %r13
	leaq	(%rdi,%rax), %r15
	addq	%r11, %rax
	movq	%r10, 120(%rsp)
	leaq	(%r11,%rsi,4), %r10
	movq	%r13, 176(%rsp)
	leaq	(%rdi,%r9,4), %r13
	leaq	(%r11,%r9,4), %r9
	movq	%rax, 80(%rsp)
	xorl	%r11d, %r11d
	movq	%rdx, %rax
	movq	%r12, 16(%rsp)
	leaq	(%rbx,%rbx,2), %r12
	movq	%r10, 72(%rsp)
	leaq	(%rdi,%rsi,4), %r10
	movq	%r9, 64(%rsp)
	movq	%r14, %r9
	movq	%r12, 24(%rsp)
	jmp	.LBB0_2
	.p2align	4
.LBB0_25:
	movq	8(%rsp), %rax
	movq	96(%rsp), %r11
	movq	56(%rsp), %rdx
	addq	%rax, %r13
	addq	%rax, %r15
	addq	%rax, %r10
	addq	%rax, %rdi
	movq	88(%rsp), %rax
	addq	$4, %r11
	decq	%rax
	jle	.LBB0_26
.LBB0_2:
	movq	%rax, 88(%rsp)
	movq	%r11, %rax
	sarq	$63, %rax
	movq	%r11, 96(%rsp)
	movq	320(%rsp), %rbp
	movq	64(%rsp), %r14
	movq	%rax, %rbx
	andq	%r8, %rax
	andq	%r9, %rbx
	addq	%r11, %rax
	addq	%r11, %rbx
	movq	80(%rsp), %r11
	movq	%rax, 104(%rsp)
	movq	72(%rsp), %rax
	movq	%rbx, 112(%rsp)
	xorl	%ebx, %ebx
	jmp	.LBB0_3
	.p2align	4
.LBB0_24:
	movq	8(%rsp), %rdx
	movq	136(%rsp), %r8
	addq	$4, %rbx
	movq	256(%rsp), %r9
	addq	%rdx, %r11
	addq	%rdx, %r14
	addq	%rdx, %rax
	addq	%rdx, %rbp
	leaq	-1(%r8), %rdx
	cmpq	$1, %r8
	movq	248(%rsp), %r8
	jle	.LBB0_25
.LBB0_3:
	cmpb	$0, 280(%rsp)
	movq	%rdx, 136(%rsp)
	je	.LBB0_9
	movq	%rbx, %rdx
	sarq	$63, %rdx
	andq	%r8, %rdx
	addq	%rbx, %rdx
	movq	%rdx, %r12
	js	.LBB0_5
	cmpq	%r8, %rdx
	jge	.LBB0_7
.LBB0_8:
	movq	112(%rsp), %rdx
	movq	%rdx, %r8
	testq	%rdx, %rdx
	js	.LBB0_14
.LBB0_15:
	cmpq	%r9, %rdx
	jge	.LBB0_16
.LBB0_17:
	movq	240(%rsp), %rdx
	imulq	%r9, %r12
	movq	%r8, 160(%rsp)
	cmpb	$0, 280(%rsp)
	leaq	(%rdx,%r12,4), %rdx
	leaq	(%rdx,%r8,4), %r9
	movq	%rdx, 128(%rsp)
	movq	264(%rsp), %rdx
	movq	264(%rsp), %r8
	leaq	(%r9,%rdx), %rdx
	vbroadcastss	(%r8,%r9), %zmm9
	movq	272(%rsp), %r8
	movq	%rdx, 32(%rsp)
	movq	120(%rsp), %rdx
	leaq	(%r9,%rdx), %rdx
	movq	%rdx, 144(%rsp)
	movq	24(%rsp), %rdx
	leaq	(%r9,%rdx), %r12
	movq	272(%rsp), %rdx
	movq	%r12, 152(%rsp)
	movq	16(%rsp), %r12
	vbroadcastss	(%rdx,%r9), %zmm0
	vbroadcastss	(%r9,%rdx,2), %zmm1
	movq	32(%rsp), %rdx
	vbroadcastss	(%r12,%r9), %zmm3
	vbroadcastss	(%rdx,%r8,2), %zmm2
	vbroadcastss	(%r12,%rdx), %zmm4
	movq	264(%rsp), %rdx
	movq	144(%rsp), %r8
	vbroadcastss	(%r9,%rdx,2), %zmm15
	movq	272(%rsp), %rdx
	vbroadcastss	(%r12,%r8), %zmm5
	movq	%r8, %r12
	vbroadcastss	(%rdx,%r8), %zmm11
	movq	24(%rsp), %r8
	vbroadcastss	(%r8,%r9), %zmm14
	movq	152(%rsp), %r9
	vbroadcastss	(%rdx,%r9), %zmm13
	vbroadcastss	(%r9,%rdx,2), %zmm12
	je	.LBB0_18
	vmovaps	%zmm9, %zmm6
	vmovaps	%zmm11, %zmm9
	vmovaps	%zmm15, %zmm7
	vmovaps	%zmm14, %zmm8
	vmovaps	%zmm13, %zmm10
	vmovaps	%zmm12, %zmm11
	cmpq	$0, 328(%rsp)
	movq	160(%rsp), %rdx
	jg	.LBB0_21
	jmp	.LBB0_24
	.p2align	4
.LBB0_9:
	movq	104(%rsp), %rdx
	movq	%rdx, %r12
	testq	%rdx, %rdx
	js	.LBB0_10
	cmpq	%r8, %rdx
	jge	.LBB0_12
.LBB0_13:
	movq	%rbx, %rdx
	sarq	$63, %rdx
	andq	%r9, %rdx
	addq	%rbx, %rdx
	movq	%rdx, %r8
	jns	.LBB0_15
.LBB0_14:
	xorl	%r8d, %r8d
	cmpq	%r9, %rdx
	jl	.LBB0_17
.LBB0_16:
	movq	%r9, %r8
	jmp	.LBB0_17
	.p2align	4
.LBB0_18:
	vmovaps	%zmm0, %zmm6
	vmovaps	%zmm1, %zmm7
	vmovaps	%zmm3, %zmm8
	vmovaps	%zmm9, %zmm0
	vmovaps	%zmm2, %zmm9
	vmovaps	%zmm4, %zmm10
	vmovaps	%zmm11, %zmm2
	vmovaps	%zmm5, %zmm11
	vmovaps	%zmm15, %zmm1
	vmovaps	%zmm14, %zmm3
	vmovaps	%zmm13, %zmm4
	vmovaps	%zmm12, %zmm5
	cmpq	$0, 328(%rsp)
	movq	160(%rsp), %rdx
	jle	.LBB0_24
.LBB0_21:
	cmpq	$0, 408(%rsp)
	jle	.LBB0_22
	testq	%rsi, %rsi
	jle	.LBB0_37
	movq	128(%rsp), %r8
	vbroadcastss	(%r8,%rdx,4), %zmm12
	movq	272(%rsp), %rdx
	movq	32(%rsp), %r8
	vbroadcastss	(%rdx,%r8), %zmm13
	movq	16(%rsp), %r8
	vbroadcastss	(%r12,%rdx,2), %zmm14
	vbroadcastss	(%r8,%r9), %zmm15
	xorl	%r9d, %r9d
	jmp	.LBB0_29
	.p2align	4
.LBB0_36:
	addq	176(%rsp), %rdx
	movq	%rdx, %r9
	cmpq	328(%rsp), %rdx
	jge	.LBB0_24
.LBB0_29:
	movq	408(%rsp), %rdx
	leaq	(%r9,%rdx), %r12
	jmp	.LBB0_30
	.p2align	4
.LBB0_35:
	leaq	(%rsi,%rdx), %r9
	cmpq	%r12, %r9
	jge	.LBB0_36
.LBB0_30:
	leaq	(%r9,%rsi), %r8
	movq	%r9, %rdx
	jmp	.LBB0_31
	.p2align	4
.LBB0_33:
	vmovups	(%rdi,%rdx,4), %zmm16
	vmovups	(%r10,%rdx,4), %zmm17
	vmovups	(%r13,%rdx,4), %zmm18
	vmovups	(%r15,%rdx,4), %zmm19
.LBB0_34:
	vmovups	(%rbp,%rdx,4), %zmm20
	vmovups	(%rax,%rdx,4), %zmm21
	vmovups	(%r14,%rdx,4), %zmm22
	vmovups	(%r11,%rdx,4), %zmm23
	vfmadd231ps	%zmm12, %zmm20, %zmm16
	vfmadd231ps	%zmm0, %zmm20, %zmm17
	vfmadd231ps	%zmm1, %zmm20, %zmm18
	vfmadd231ps	%zmm20, %zmm3, %zmm19
	vfmadd231ps	%zmm6, %zmm21, %zmm16
	vfmadd231ps	%zmm13, %zmm21, %zmm17
	vfmadd231ps	%zmm2, %zmm21, %zmm18
	vfmadd231ps	%zmm21, %zmm4, %zmm19
	vfmadd231ps	%zmm7, %zmm22, %zmm16
	vfmadd231ps	%zmm9, %zmm22, %zmm17
	vfmadd231ps	%zmm14, %zmm22, %zmm18
	vfmadd231ps	%zmm22, %zmm5, %zmm19
	vfmadd231ps	%zmm8, %zmm23, %zmm16
	vfmadd231ps	%zmm10, %zmm23, %zmm17
	vfmadd231ps	%zmm11, %zmm23, %zmm18
	vfmadd231ps	%zmm23, %zmm15, %zmm19
	vmovups	%zmm16, (%rdi,%rdx,4)
	vmovups	%zmm17, (%r10,%rdx,4)
	vmovups	%zmm18, (%r13,%rdx,4)
	vmovups	%zmm19, (%r15,%rdx,4)
	addq	%rcx, %rdx
	cmpq	%r8, %rdx
	jge	.LBB0_35
.LBB0_31:
	testq	%rbx, %rbx
	jg	.LBB0_33
	vxorps	%xmm16, %xmm16, %xmm16
	vxorps	%xmm17, %xmm17, %xmm17
	vxorps	%xmm18, %xmm18, %xmm18
	vxorps	%xmm19, %xmm19, %xmm19
	jmp	.LBB0_34
	.p2align	4
.LBB0_22:
	xorl	%edx, %edx
	.p2align	4
.LBB0_23:
	addq	168(%rsp), %rdx
	cmpq	328(%rsp), %rdx
	jl	.LBB0_23
	jmp	.LBB0_24
.LBB0_5:
	xorl	%r12d, %r12d
	cmpq	%r8, %rdx
	jl	.LBB0_8
.LBB0_7:
	movq	%r8, %r12
	jmp	.LBB0_8
.LBB0_10:
	xorl	%r12d, %r12d
	cmpq	%r8, %rdx
	jl	.LBB0_13
.LBB0_12:
	movq	%r8, %r12
	jmp	.LBB0_13
	.p2align	4
.LBB0_37:
	jmp	.LBB0_37
.Lfunc_end0:
	.size	_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, .Lfunc_end0-_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.cfi_endproc

	.globl	_ZN7cpython4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.p2align	4
	.type	_ZN7cpython4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx,@function
_ZN7cpython4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%r13
	.cfi_def_cfa_offset 40
	pushq	%r12
	.cfi_def_cfa_offset 48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	subq	$360, %rsp
	.cfi_def_cfa_offset 416
	.cfi_offset %rbx, -56
	.cfi_offset %r12, -48
	.cfi_offset %r13, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	movq	%rsi, %rdi
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	leaq	112(%rsp), %r10
	xorl	%ebx, %ebx
	leaq	120(%rsp), %r11
	leaq	128(%rsp), %r14
	leaq	136(%rsp), %r15
	leaq	144(%rsp), %r12
	movabsq	$.const.apply_gate__1cebc42c98eb, %rsi
	movabsq	$PyArg_UnpackTuple, %r13
	leaq	160(%rsp), %r8
	leaq	152(%rsp), %r9
	movl	$7, %edx
	movl	$7, %ecx
	xorl	%eax, %eax
	pushq	%r10
	.cfi_adjust_cfa_offset 8
	pushq	%r11
	.cfi_adjust_cfa_offset 8
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	callq	*%r13
	addq	$48, %rsp
	.cfi_adjust_cfa_offset -48
	testl	%eax, %eax
	je	.LBB1_17
	movabsq	$_ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, %rax
	cmpq	$0, (%rax)
	je	.LBB1_22
	movq	152(%rsp), %rdi
	movabsq	$NRT_adapt_ndarray_from_python, %rbx
	leaq	160(%rsp), %rsi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%zmm0, 160(%rsp)
	movq	$0, 224(%rsp)
	vzeroupper
	callq	*%rbx
	cmpq	$4, 184(%rsp)
	setne	%cl
	testl	%eax, %eax
	setne	%bpl
	orb	%cl, %bpl
	cmpb	$1, %bpl
	je	.LBB1_23
	testb	%bpl, %bpl
	jne	.LBB1_24
.LBB1_4:
	movq	224(%rsp), %rax
	movq	144(%rsp), %rdi
	movq	160(%rsp), %r14
	movq	192(%rsp), %r15
	movq	200(%rsp), %r13
	movq	208(%rsp), %rbp
	movq	216(%rsp), %r12
	movq	%rax, 96(%rsp)
	movabsq	$PyObject_IsTrue, %rax
	callq	*%rax
	movl	%eax, 12(%rsp)
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	jne	.LBB1_32
	movq	136(%rsp), %rdi
	leaq	240(%rsp), %rsi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 240(%rsp)
	vmovups	%ymm0, 264(%rsp)
	vzeroupper
	callq	*%rbx
	testl	%eax, %eax
	jne	.LBB1_25
	cmpq	$4, 264(%rsp)
	jne	.LBB1_25
	movq	272(%rsp), %rax
	movq	128(%rsp), %rdi
	movq	%r12, 88(%rsp)
	movq	240(%rsp), %r12
	leaq	304(%rsp), %rsi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 304(%rsp)
	vmovups	%ymm0, 328(%rsp)
	movq	%rax, 80(%rsp)
	movq	280(%rsp), %rax
	movq	%rax, 72(%rsp)
	vzeroupper
	callq	*%rbx
	testl	%eax, %eax
	jne	.LBB1_26
	cmpq	$4, 328(%rsp)
	jne	.LBB1_26
	movq	336(%rsp), %rax
	movq	120(%rsp), %rdi
	movq	%r15, 64(%rsp)
	movq	304(%rsp), %r15
	movabsq	$PyNumber_Long, %rbx
	movq	%r13, 56(%rsp)
	movq	%r12, 24(%rsp)
	movq	%r14, 32(%rsp)
	movq	%rax, 40(%rsp)
	callq	*%rbx
	movabsq	$PyLong_AsLongLong, %r12
	movabsq	$Py_DecRef, %r14
	movq	%rbp, 48(%rsp)
	testq	%rax, %rax
	je	.LBB1_27
	movq	%rax, %rdi
	movq	%rax, %r13
	callq	*%r12
	movq	%r13, %rdi
	movq	%rax, 16(%rsp)
	callq	*%r14
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	jne	.LBB1_30
.LBB1_11:
	movq	112(%rsp), %rdi
	callq	*%rbx
	testq	%rax, %rax
	je	.LBB1_28
	movq	%rax, %rdi
	movq	%rax, %rbp
	callq	*%r12
	movq	%rbp, %rdi
	movq	%rax, %r13
	callq	*%r14
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	jne	.LBB1_30
.LBB1_13:
	movq	104(%rsp), %rdi
	callq	*%rbx
	testq	%rax, %rax
	je	.LBB1_29
	movq	%rax, %rdi
	movq	%rax, %rbx
	callq	*%r12
	movq	%rbx, %rdi
	movq	%rax, %rbp
	callq	*%r14
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	jne	.LBB1_30
.LBB1_15:
	xorl	%r14d, %r14d
	cmpl	$0, 12(%rsp)
	movabsq	$PyEval_SaveThread, %rax
	setne	%r14b
	callq	*%rax
	movq	%rax, %rbx
	subq	$192, %rsp
	.cfi_adjust_cfa_offset 192
	movq	232(%rsp), %rdi
	movq	264(%rsp), %rdx
	movq	208(%rsp), %rax
	movq	216(%rsp), %r12
	movl	%r14d, 40(%rsp)
	movq	224(%rsp), %r14
	movq	%rbp, 176(%rsp)
	movq	%r13, 168(%rsp)
	movq	%r15, 104(%rsp)
	movq	%rdi, 136(%rsp)
	movq	272(%rsp), %rdi
	movq	%rdx, 88(%rsp)
	movq	288(%rsp), %rdx
	movq	%rax, 160(%rsp)
	movabsq	$_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, %rax
	movq	%r12, 48(%rsp)
	movq	%rdi, 80(%rsp)
	movq	280(%rsp), %rdi
	movq	%rdx, 32(%rsp)
	movq	240(%rsp), %rdx
	movq	%rdi, 24(%rsp)
	movq	248(%rsp), %rdi
	movq	%rdx, 16(%rsp)
	movq	256(%rsp), %rdx
	movq	%rdi, 8(%rsp)
	leaq	488(%rsp), %rdi
	movq	%rdx, (%rsp)
	movq	%r14, %rdx
	callq	*%rax
	addq	$192, %rsp
	.cfi_adjust_cfa_offset -192
	movabsq	$PyEval_RestoreThread, %r13
	movq	%rbx, %rdi
	movl	%eax, %ebp
	callq	*%r13
	movabsq	$NRT_decref, %rbx
	movq	%r14, %rdi
	callq	*%rbx
	movq	%r12, %rdi
	callq	*%rbx
	movq	%r15, %rdi
	callq	*%rbx
	testl	%ebp, %ebp
	jne	.LBB1_18
	movabsq	$_Py_NoneStruct, %rbx
	movabsq	$Py_IncRef, %rax
	movq	%rbx, %rdi
	callq	*%rax
.LBB1_17:
	movq	%rbx, %rax
	addq	$360, %rsp
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%r12
	.cfi_def_cfa_offset 40
	popq	%r13
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	retq
.LBB1_18:
	.cfi_def_cfa_offset 416
	jg	.LBB1_37
	cmpl	$-1, %ebp
	je	.LBB1_24
	cmpl	$-3, %ebp
	jne	.LBB1_35
	movabsq	$PyExc_StopIteration, %rdi
	movabsq	$PyErr_SetNone, %rax
	jmp	.LBB1_33
.LBB1_22:
	movabsq	$PyExc_RuntimeError, %rdi
	movabsq	$".const.missing Environment: _ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx", %rsi
	jmp	.LBB1_36
.LBB1_23:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	testb	%bpl, %bpl
	je	.LBB1_4
	jmp	.LBB1_24
.LBB1_25:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	jmp	.LBB1_32
.LBB1_26:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	jmp	.LBB1_31
.LBB1_27:
	movq	$0, 16(%rsp)
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	je	.LBB1_11
	jmp	.LBB1_30
.LBB1_28:
	xorl	%r13d, %r13d
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	je	.LBB1_13
	jmp	.LBB1_30
.LBB1_29:
	xorl	%ebp, %ebp
	movabsq	$PyErr_Occurred, %rax
	callq	*%rax
	testq	%rax, %rax
	je	.LBB1_15
.LBB1_30:
	movabsq	$NRT_decref, %rax
	movq	%r15, %rdi
	callq	*%rax
	movq	32(%rsp), %r14
	movq	24(%rsp), %r12
.LBB1_31:
	movabsq	$NRT_decref, %rax
	movq	%r12, %rdi
	callq	*%rax
.LBB1_32:
	movabsq	$NRT_decref, %rax
	movq	%r14, %rdi
.LBB1_33:
	callq	*%rax
.LBB1_24:
	xorl	%ebx, %ebx
	jmp	.LBB1_17
.LBB1_35:
	movabsq	$PyExc_SystemError, %rdi
	movabsq	$".const.unknown error when calling native function", %rsi
.LBB1_36:
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	xorl	%ebx, %ebx
	jmp	.LBB1_17
.LBB1_37:
	movabsq	$PyErr_Clear, %rax
	callq	*%rax
.Lfunc_end1:
	.size	_ZN7cpython4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, .Lfunc_end1-_ZN7cpython4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.cfi_endproc

	.globl	cfunc._ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.p2align	4
	.type	cfunc._ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx,@function
cfunc._ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx:
	.cfi_startproc
	pushq	%r14
	.cfi_def_cfa_offset 16
	pushq	%rbx
	.cfi_def_cfa_offset 24
	subq	$200, %rsp
	.cfi_def_cfa_offset 224
	.cfi_offset %rbx, -24
	.cfi_offset %r14, -16
	vmovaps	288(%rsp), %xmm1
	vmovaps	368(%rsp), %xmm2
	movq	%rdi, %rdx
	movq	384(%rsp), %r10
	movq	256(%rsp), %rcx
	movq	312(%rsp), %rsi
	movq	344(%rsp), %rdi
	vmovaps	224(%rsp), %xmm0
	movq	240(%rsp), %rax
	movq	$0, 192(%rsp)
	movq	%r10, 176(%rsp)
	vmovups	%xmm2, 160(%rsp)
	movq	%rdi, 136(%rsp)
	movq	%rsi, 104(%rsp)
	vmovups	%xmm1, 80(%rsp)
	movq	%rcx, 48(%rsp)
	movzbl	248(%rsp), %ecx
	movq	%rax, 32(%rsp)
	movabsq	$_ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, %rax
	leaq	192(%rsp), %rdi
	andl	$1, %ecx
	movl	%ecx, 40(%rsp)
	vmovups	%xmm0, 16(%rsp)
	movq	%r9, 8(%rsp)
	movq	%r8, (%rsp)
	callq	*%rax
	movq	192(%rsp), %rcx
	movl	$0, 188(%rsp)
	testl	%eax, %eax
	jne	.LBB2_1
.LBB2_5:
	movq	%rcx, %rax
	addq	$200, %rsp
	.cfi_def_cfa_offset 24
	popq	%rbx
	.cfi_def_cfa_offset 16
	popq	%r14
	.cfi_def_cfa_offset 8
	retq
.LBB2_1:
	.cfi_def_cfa_offset 224
	movq	%rcx, %r14
	movabsq	$numba_gil_ensure, %rcx
	leaq	188(%rsp), %rdi
	movl	%eax, %ebx
	callq	*%rcx
	testl	%ebx, %ebx
	jg	.LBB2_2
	movl	%ebx, %eax
	cmpl	$-1, %ebx
	je	.LBB2_4
	cmpl	$-3, %eax
	jne	.LBB2_3
	movabsq	$PyExc_StopIteration, %rdi
	movabsq	$PyErr_SetNone, %rax
	callq	*%rax
	jmp	.LBB2_4
.LBB2_3:
	movabsq	$PyExc_SystemError, %rdi
	movabsq	$".const.unknown error when calling native function.2", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
.LBB2_4:
	movabsq	$".const.<numba.core.cpu.CPUContext>", %rdi
	movabsq	$PyUnicode_FromString, %rax
	callq	*%rax
	movq	%rax, %rbx
	movabsq	$PyErr_WriteUnraisable, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movabsq	$Py_DecRef, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movabsq	$numba_gil_release, %rax
	leaq	188(%rsp), %rdi
	callq	*%rax
	movq	%r14, %rcx
	jmp	.LBB2_5
.LBB2_2:
	movabsq	$PyErr_Clear, %rax
	callq	*%rax
.Lfunc_end2:
	.size	cfunc._ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx, .Lfunc_end2-cfunc._ZN4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx
	.cfi_endproc

	.weak	NRT_incref
	.p2align	4
	.type	NRT_incref,@function
NRT_incref:
	testq	%rdi, %rdi
	je	.LBB3_2
	lock		incq	(%rdi)
.LBB3_2:
	retq
.Lfunc_end3:
	.size	NRT_incref, .Lfunc_end3-NRT_incref

	.weak	NRT_decref
	.p2align	4
	.type	NRT_decref,@function
NRT_decref:
	.cfi_startproc
	testq	%rdi, %rdi
	je	.LBB4_2
	#MEMBARRIER
	lock		decq	(%rdi)
	je	.LBB4_3
.LBB4_2:
	retq
.LBB4_3:
	movabsq	$NRT_MemInfo_call_dtor, %rax
	#MEMBARRIER
	jmpq	*%rax
.Lfunc_end4:
	.size	NRT_decref, .Lfunc_end4-NRT_decref
	.cfi_endproc

	.type	.const.apply_gate__1cebc42c98eb,@object
	.section	.lrodata,"al",@progbits
	.p2align	4, 0x0
.const.apply_gate__1cebc42c98eb:
	.asciz	"apply_gate__1cebc42c98eb"
	.size	.const.apply_gate__1cebc42c98eb, 25

	.type	_ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx,@object
	.comm	_ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx,8,8
	.type	".const.missing Environment: _ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx",@object
	.p2align	4, 0x0
".const.missing Environment: _ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx":
	.asciz	"missing Environment: _ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx"
	.size	".const.missing Environment: _ZN08NumbaEnv4adqc6engine12gate_kernels24apply_gate__1cebc42c98ebB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi2E1C7mutable7alignedEb5ArrayIfLi1E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExxx", 297

	.type	".const.can't unbox array from PyObject into native value.  The object maybe of a different type",@object
	.p2align	4, 0x0
".const.can't unbox array from PyObject into native value.  The object maybe of a different type":
	.asciz	"can't unbox array from PyObject into native value.  The object maybe of a different type"
	.size	".const.can't unbox array from PyObject into native value.  The object maybe of a different type", 89

	.type	".const.unknown error when calling native function",@object
	.p2align	4, 0x0
".const.unknown error when calling native function":
	.asciz	"unknown error when calling native function"
	.size	".const.unknown error when calling native function", 43

	.type	".const.unknown error when calling native function.2",@object
	.p2align	4, 0x0
".const.unknown error when calling native function.2":
	.asciz	"unknown error when calling native function"
	.size	".const.unknown error when calling native function.2", 43

	.type	".const.<numba.core.cpu.CPUContext>",@object
	.p2align	4, 0x0
".const.<numba.core.cpu.CPUContext>":
	.asciz	"<numba.core.cpu.CPUContext>"
	.size	".const.<numba.core.cpu.CPUContext>", 28

	.type	_ZN08NumbaEnv5numba7cpython8builtins6ol_max12_3clocals_3e4implB2v2B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIxLi2EE,@object
	.comm	_ZN08NumbaEnv5numba7cpython8builtins6ol_max12_3clocals_3e4implB2v2B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1epFwMRTnJ_2bsrqOgnpyfV1KUmFwCYucVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIxLi2EE,8,8
	.section	".note.GNU-stack","",@progbits

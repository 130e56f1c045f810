r"""Pairs of a reference answer and an answer, by kind: right ones, and wrong ones that come near."""
# ruff: noqa: RUF001 - typographic signs are among its subjects

import pytest

from tests.actors.verification.test_answer_spellings import verdict

PAIRS = r"""
# tiny and huge numbers
\frac{1}{3^{40}} | \frac{1}{3^{41}} | wrong
2^{-100} | 2^{-101} | wrong
2^{-100} | \frac{1}{2^{100}} | right
1.38\times10^{-23} | 1.38 \cdot 10^{-23} | right
1.38\times10^{-23} | 1.38\times10^{-22} | wrong
1.38\times10^{-23} | 1.39\times10^{-23} | wrong
6.02\times10^{23} | 6.02e23 | right
6.02\times10^{23} | 6.022\times10^{23} | wrong
10^{-12} | 0.000000000001 | right
10^{-12} | 0 | wrong
0 | 10^{-12} | wrong
\frac{1}{\binom{100}{50}} | \frac{2}{\binom{100}{50}} | wrong
\frac{1}{10^9} | 10^{-9} | right
\frac{\sqrt2}{10^{20}} | \frac{\sqrt3}{10^{20}} | wrong
e^{-50} | \frac{1}{e^{50}} | right
\frac{\pi}{10^{15}} | \frac{2\pi}{10^{15}} | wrong
\ln(1+10^{-18}) | \ln(1+10^{-19}) | wrong
(0.5)^{100} | (0.5)^{101} | wrong
(\frac12)^{100} | 2^{-100} | right
\left(\frac{5}{6}\right)^{200} | \left(\frac{5}{6}\right)^{201} | wrong
1-\left(\frac{5}{6}\right)^{200} | 1-\left(\frac{5}{6}\right)^{201} | wrong
1-\frac{1}{2^{80}} | 1 | wrong
1 | 1-\frac{1}{2^{80}} | wrong
\frac{x}{2^{60}} | 2^{-60}x | right
y=\frac{x}{2^{60}} | y=\frac{x}{2^{61}} | wrong
x+y=\frac{1}{2^{60}} | x+y=\frac{1}{2^{61}} | wrong
\{10^{-20},10^{-21}\} | \{10^{-20},10^{-22}\} | wrong
(10^{-20},1) | (10^{-21},1) | wrong
(0,10^{-20}) | (0,10^{-21}) | wrong
[0,10^{-20}] | [0,10^{-21}] | wrong
(0,e^{-60}) | (0,e^{-61}) | wrong
\begin{pmatrix}10^{-20}\\1\end{pmatrix} | \begin{pmatrix}10^{-21}\\1\end{pmatrix} | wrong
10^{9999} | 10^{9998} | wrong
2^{5000} | 2^{5000}+1 | wrong
\frac{100!}{98!} | 9900 | right
\frac{1}{100!} | \frac{1}{99!} | wrong
\sin(10^{-10}) | \sin(10^{-11}) | wrong
# decimals
0.577 | 0.5772 | wrong
0.5 | 0.500 | right
\frac{2}{3} | 0.666667 | right
\frac{2}{3} | 0.67 | wrong
\frac{2}{3} | 0.666666 | right
\frac{2}{3} | 0.66667 | wrong
\pi | 3.14 | wrong
\pi | 3.141593 | right
\frac{22}{7} | \pi | wrong
3.14 | \pi | wrong
0.1 | 0.10000001 | wrong
1.4142136 | \sqrt{2} | wrong
\ln 2 | 0.693147 | right
\ln 2 | 0.69 | wrong
0.000001 | 0.000002 | wrong
0.0000005 | 0.0000004 | wrong
-0.0000003 | 0.0000003 | wrong
# words
\text{SOS} | \text{OSS} | wrong
\text{SOS} | SOS | right
\text{SOS} | \text{sos} | wrong
\text{Monday} | Monday | right
\text{Monday} | \text{monday} | right
\text{Monday} | \text{MONDAY} | wrong
BAC | ABC | wrong
BAC | B A C | wrong
BAC | \text{BAC} | right
BAC | \mathrm{BAC} | right
\text{Bb} | \text{bb} | wrong
\text{Yes} | \text{yes} | right
\text{Yes} | \text{No} | wrong
\text{no solution} | \text{No solution} | right
\text{no solution} | no solution | right
\text{even} | \text{odd} | wrong
\text{Alice and Bob} | \text{Bob and Alice} | right
\text{LISTEN} | \text{SILENT} | wrong
ab | ba | right
abc | acb | right
\text{B} | B | right
\text{B} | C | wrong
\text{B} | b | wrong
x | X | wrong
E | e | wrong
A | a | wrong
\text{True} | \text{False} | wrong
\text{True} | \text{true} | right
\text{Alice} | Alice. | right
# numerals with a base
101_2 | 101_{2} | right
101_2 | 101_{\text{two}} | right
101_2 | (101)_2 | right
101_2 | 101_3 | wrong
101_2 | 101 | wrong
101_2 | 5 | wrong
12_8 | 10 | wrong
12 | 12_8 | wrong
12 | 12_{10} | right
2\text{A}_{16} | 2A_{16} | right
2A_{16} | 2B_{16} | wrong
110_2 | 011_2 | wrong
0110_2 | 110_2 | right
1010_2, 11_2 | 11_2, 1010_2 | right
1010_2, 11_2 | 11_2, 1010_3 | wrong
F_{10} | 55 | wrong
a_1 | a_2 | wrong
a_{10} | a_{11} | wrong
x_1+x_2 | x_2+x_1 | right
# units
6\text{ cm}^2 | 6 | right
6\text{ cm}^2 | 6\text{ square cm} | right
6\text{ cm}^2 | 6\text{ square centimeters} | right
6\text{ cm}^2 | 6\ \mathrm{cm^2} | right
6\text{ cm}^2 | 6 cm^2 | right
6\text{ cm}^2 | 6 cm | wrong
6\text{ cm}^2 | 6\text{ mm}^2 | wrong
6\text{ m}^3 | 6\text{ cubic meters} | right
6\text{ m}^3 | 6\text{ m}^2 | wrong
12 cm | 12 m | wrong
12 cm | 12 mm | wrong
12 cm | 12cm | right
12 cm | 12 \text{ centimeters} | right
12 cm | 13 cm | wrong
5 hours | 5 | right
5 hours | 5 minutes | wrong
5 hours | 5 \text{ hours} | right
18 | 18 dollars | right
18 | \$18 | right
18 | \$18.00 | right
18 | 18\text{ dollars} | right
18 | 12厘米 | wrong
12 | 12厘米 | right
12 \text{ m/s} | 12\text{ m/s}^2 | wrong
12 \text{ m/s} | 12 \frac{\text{m}}{\text{s}} | right
12 \text{ m/s} | 12\text{ km/h} | wrong
30^\circ | 30 | right
30^\circ | 30\text{ degrees} | right
30^\circ | \frac{\pi}{6} | wrong
30 | 30^\circ | right
12\pi\text{ cm}^2 | 12\pi | right
12\pi\text{ cm}^2 | 12\pi\text{ cm} | wrong
12\pi\text{ cm}^2 | 12\pi\text{ cm}^{2} | right
2\sqrt3\text{ m} | 2\sqrt{3} | right
2\sqrt3\text{ m} | 2\sqrt{3}\text{ cm} | wrong
6 | 6\text{ cm}^2 | right
6 | 6 m^2 | right
3\text{ s} | 3\text{ h} | wrong
3\text{ s} | 3\text{ seconds} | right
5\text{ apples} | 5 | right
5\text{ apples} | 5\text{ pears} | wrong
5\text{ cents} | \$5 | wrong
\$5 | 5\text{ cents} | wrong
\$5 | 5\text{ dollars} | right
100^\circ\text{C} | 100^\circ C | right
100^\circ\text{C} | 100^\circ\text{F} | wrong
100^\circ\text{C} | 100 | right
# degrees and radians
\cos 20^\circ | \cos 20 | wrong
\cos 20^\circ | \sin 70^\circ | right
\cos 20^\circ | \cos\frac{\pi}{9} | right
\cos 20^\circ | \cos 20^{\circ} | right
\cos 20^\circ | \cos(20^\circ) | right
2\sin 18^\circ | 2\sin 18 | wrong
\tan 15^\circ | 2-\sqrt3 | right
\frac{1}{2}\tan 40^\circ | \frac{\tan 40^\circ}{2} | right
\frac{1}{2}\tan 40^\circ | \frac{\tan 40}{2} | wrong
\sin^2 10^\circ | \sin^2 10 | wrong
\sin^2 10^\circ | \sin^{2}(10^{\circ}) | right
\sin 20^\circ \cos 40^\circ | \sin 40^\circ\cos 20^\circ | wrong
\arctan 2 | \tan^{-1} 2 | right
# matrices and vectors
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix} | wrong
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}3&4\\1&2\end{pmatrix} | wrong
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} | right
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\ 3&4\end{pmatrix} | right
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & 4 \\ \end{pmatrix} | right
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix} | wrong
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \left[\begin{array}{cc}1&2\\3&4\end{array}\right] | right
\begin{pmatrix}1&2\\3&4\end{pmatrix} | 1,2,3,4 | wrong
\begin{pmatrix}3\\-8\\5\end{pmatrix} | (3,-8,5) | right
\begin{pmatrix}3\\-8\\5\end{pmatrix} | (5,-8,3) | wrong
\begin{pmatrix}3\\-8\\5\end{pmatrix} | \begin{pmatrix}3&-8&5\end{pmatrix} | wrong
\begin{pmatrix}3\\-8\\5\end{pmatrix} | \langle 3,-8,5\rangle | right
\begin{pmatrix}3\\-8\\5\end{pmatrix} | [3,-8,5] | right
\begin{pmatrix}3&-8\end{pmatrix} | (3,-8) | right
\begin{pmatrix}3&-8\end{pmatrix} | (-8,3) | wrong
(3,-8,5) | \begin{pmatrix}3\\-8\\5\end{pmatrix} | right
\begin{pmatrix}\frac12\\ \ln 2\end{pmatrix} | \begin{pmatrix}0.5\\\ln 2\end{pmatrix} | right
\begin{pmatrix}\frac12\\ \ln 2\end{pmatrix} | \begin{pmatrix}\ln 2\\0.5\end{pmatrix} | wrong
\begin{pmatrix}x&1\\1&x\end{pmatrix} | \begin{pmatrix}1&x\\x&1\end{pmatrix} | wrong
\frac{1}{2}\begin{pmatrix}2&4\\6&8\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix} | right
# lists, sets, tuples, thousands
7,100 | 7, 100 | right
7,100 | 7{,}100 | right
7100 | 7,100 | right
7100 | 7{,}100 | right
7100 | 7\,100 | right
70,110 | 70, 110 | right
70,110 | 110,70 | right
70,110 | 70110 | wrong
1,000 | 1000 | right
1000 | 1,000 | right
1,2,3 | 3,1,2 | right
1,2,3 | 1,2 | wrong
1,2,2 | 1,1,2 | wrong
1,2 | (1,2) | right
1,2 | (2,1) | wrong
(1,2) | 1,2 | right
(1,2) | 2,1 | wrong
(1,2) | \{1,2\} | wrong
\{1,2\} | (1,2) | wrong
\{1,2\} | 2,1 | right
\{1,2\} | \{2,1\} | right
(1,2) | [1,2] | wrong
1,2 | 1 \text{ and } 2 | right
1,2 | x=1, x=2 | right
1,2 | x=1 \text{ or } x=2 | right
1,2 | x_1=1, x_2=2 | right
1,2 | \{1\},\{2\} | right
1;2 | 2;1 | right
\frac12,\frac13 | \frac13,\frac12 | right
\sqrt2,-\sqrt2 | \pm\sqrt2 | right
\pm\sqrt2 | -\sqrt2,\sqrt2 | right
\pm\sqrt2 | \sqrt2 | wrong
2\pm i | 2+i,2-i | right
\frac{-1\pm\sqrt5}{2} | \frac{-1+\sqrt5}{2},\frac{-1-\sqrt5}{2} | right
\frac{-1\pm\sqrt5}{2} | \frac{1\pm\sqrt5}{2} | wrong
x+1,x-1 | x-1,x+1 | right
x+1,x-1 | x-1,x+2 | wrong
\ln 2,\ln 3 | \ln 3,\ln 2 | right
\ln 2,\ln 3 | \ln 3,\ln 4 | wrong
\ln 2,\ln 3 | \ln 2,\ln 2 | wrong
(\ln 3,\ln 2) | (\ln 3,\ln 2) | right
(\ln 3,\ln 2) | (\ln 4,\ln 2) | wrong
(\ln 3,\ln 2) | (\ln 2,\ln 3) | wrong
(x,1),(1,x) | (1,x),(x,1) | right
(x,1),(1,x) | (1,x),(x,2) | wrong
# ratios and times
1:2 | 2:4 | right
3:4 | 3\colon 4 | right
1:2 | 2:1 | wrong
1:2 | \frac12 | right
0:3 | 0:4 | wrong
0:3 | 0:3 | right
3:0 | 4:0 | wrong
1:2:3 | 2:4:6 | right
1:2:3 | 1:3:2 | wrong
1:\sqrt3:2 | \sqrt3:3:2\sqrt3 | right
11:00 | 11:00 \text{ a.m.} | right
11:00 \text{ a.m.} | 11:00 \text{ p.m.} | wrong
11:00 | 11 | wrong
2:30 | 2:30\text{ PM} | right
2:30 | 14:30 | wrong
02:30 | 2:30 | right
12:05 | 12:50 | wrong
# percent
20 | 20\% | right
20\% | 20 | right
20\% | 0.2 | right
20\% | \frac15 | right
20 | 0.2 | wrong
20 | 21\% | wrong
0.2 | 20\% | right
0.2 | 0.2\% | wrong
\frac12 | 50\% | right
\frac12 | 0.5\% | wrong
12.5 | 12.5\% | right
33\frac13\% | 33\frac{1}{3} | right
33\frac13 | 33\frac13\% | right
\frac13 | 33.3333\% | right
\frac13 | 33\% | wrong
# sets, intervals, unions, inequalities
\emptyset | \varnothing | right
\emptyset | \{\} | right
\emptyset | \{ \} | right
\emptyset | \{0\} | wrong
\emptyset | 0 | wrong
\{0\} | \emptyset | wrong
(-\infty,-1)\cup(4,\infty) | x<-1 \text{ or } x>4 | right
(-\infty,-1)\cup(4,\infty) | (4,\infty)\cup(-\infty,-1) | right
(-\infty,-1)\cup(4,\infty) | (-\infty,-1]\cup(4,\infty) | wrong
(-\infty,-1)\cup(4,\infty) | (-\infty,-1),(4,\infty) | right
(-\infty,-1)\cup(4,\infty) | (-\infty,-1)\text{ or }(4,\infty) | right
(-\infty,-1)\cup(4,\infty) | (-\infty,-1) | wrong
(-\infty,-1)\cup(4,\infty) | (-\infty,-1)\cup(5,\infty) | wrong
x<-1 \text{ or } x>4 | x>4 \text{ or } x<-1 | right
x<-1 \text{ or } x>4 | x\le -1 \text{ or } x>4 | wrong
x<-1 \text{ or } x>4 | -1>x \text{ or } 4<x | right
x<-1 \text{ or } x>4 | y<-1 \text{ or } y>4 | wrong
-1<x<4 | (-1,4) | right
-1<x<4 | 4>x>-1 | right
-1<x<4 | -1\le x<4 | wrong
-1<x<4 | [-1,4) | wrong
-1<x<4 | -1,4 | wrong
x\ge 3 | [3,\infty) | right
x\ge 3 | x>3 | wrong
x\ge 3 | 3\le x | right
x\geq 3 | x\geqslant 3 | right
x \ne 2 | (-\infty,2)\cup(2,\infty) | right
(0,1)\cup(1,2) | (0,2)\setminus\{1\} | right
[0,\infty) | [0,+\infty) | right
(0,1]\cup(1,2) | (0,2) | right
\mathbb{R} | (-\infty,\infty) | right
\mathbb{R}\setminus\{1\} | (-\infty,1)\cup(1,\infty) | right
x\in(1,2) | (1,2) | right
# e and i
e | \mathrm{e} | right
3+4i | 4i+3 | right
3+4i | 3-4i | wrong
3+4i | (3,4) | wrong
e^{2i} | \mathrm{e}^{2\mathrm{i}} | right
2e | 5.43656 | wrong
\frac{1}{e} | e^{-1} | right
# binomials
\binom{20}{10} | 184756 | right
\binom{20}{10}/2^{20} | \frac{\binom{20}{10}}{2^{20}} | right
\frac{\binom{20}{10}}{2^{20}} | \frac{46189}{262144} | right
\frac{\binom{20}{10}}{2^{20}} | \frac{\binom{20}{9}}{2^{20}} | wrong
\binom{20}{10} | {20 \choose 10} | right
\binom{20}{10} | C(20,10) | right
\binom{20}{10} | \dbinom{20}{10} | right
\binom{n}{2} | \frac{n(n-1)}{2} | right
\binom{n}{2} | \frac{n(n+1)}{2} | wrong
\binom{2n}{n} | {2n \choose n} | right
# repeating decimals
0.\overline{3} | 0.\dot{3} | right
0.\overline{3} | 0.(3) | right
0.\overline{3} | 0.3 | wrong
0.\overline{3} | \frac13 | right
\frac16 | 0.1\overline{6} | right
0.\overline{142857} | \frac17 | right
0.1\overline{6} | 0.\overline{16} | wrong
# notations of programs
1e-07 | 0.0000001 | right
1e-07 | 10^{-6} | wrong
1e5 | 10^5 | right
1e5 | 1e6 | wrong
0x10 | 10 | wrong
0x1F | 31 | right
2.5e3 | 2500 | right
# names
x=5 | 5 | right
x=5 | y=5 | wrong
5 | x=5 | right
x=1,y=2 | (1,2) | right
x=1,y=2 | x=2,y=1 | wrong
x=1,y=2 | y=2,x=1 | right
(x,y)=(1,2) | (1,2) | right
f(x)=2x | 2x | right
y=2x+1 | y=1+2x | right
y=2x+1 | 2x-y+1=0 | right
x^2+y^2=1 | y^2+x^2=1 | right
2x+3y=6 | y=2-\frac{2}{3}x | right
# mixed numbers
3\frac12 | \frac72 | right
3\frac12 | 3.5 | right
3\frac12 | \frac32 | wrong
3 1/2 | 7/2 | right
7/2 | 3 1/2 | right
# options
(B) 7 | B | right
(B) 7 | (B) | right
(B) 7 | 7 | right
(B) 7 | \text{(B) }7 | right
(B) 7 | (C) 7 | wrong
(B) 7 | C | wrong
(B) 7 | 8 | wrong
(B) 7 | (B) 8 | wrong
B | (B) | right
B | \text{(B)} | right
B | \textbf{(B)}\ 7 | right
B | (A) | wrong
7 | (B) 7 | right
7 | B | wrong
# forms of expressions
\frac{a}{b}c | \frac{ac}{b} | right
2\sqrt3/3 | \frac{2}{\sqrt3} | right
(x+1)(x+2) | x^2+3x+2 | right
(x+1)(x+2) | x^2+3x+1 | wrong
\frac{x^2-1}{x-1} | x+1 | right
\sqrt{x^2} | x | wrong
\frac{1+\sqrt5}{2} | \frac{2}{\sqrt5-1} | right
\sqrt{3+2\sqrt2} | 1+\sqrt2 | right
\sqrt{3+2\sqrt2} | 1-\sqrt2 | wrong
\sqrt[3]{2} | 2^{1/3} | right
\sqrt[3]{2} | 2^{1/2} | wrong
\log_2 3 | \frac{\ln 3}{\ln 2} | right
2^{n} | 2^{n+1} | wrong
(-1)^n | (-1)^{n+2} | right
n! | (n+1)!/(n+1) | right
n! | (n+1)! | wrong
a^2+b^2 | (a+b)^2 | wrong
\sin 2x | 2\sin x\cos x | right
\sin 2x | \sin^2 x | wrong
# more
\sum_{k=1}^{n} k^2 | \frac{n(n+1)(2n+1)}{6} | right
\sum_{k=1}^{n} k^2 | \sum_{j=1}^{n} j^2 | right
\sum_{k=1}^{n} k^2 | \sum_{k=1}^{n} k^3 | wrong
\int_0^1 x^2 dx | \frac14 | wrong
f(x)=x^2 | f(x)=x^3 | wrong
f(x)=x^2 | g(x)=x^2 | wrong
f'(x)=2x | 2x | right
2^{x+1} | 2\cdot 2^x | right
\frac{1}{x}-\frac{1}{x+1} | \frac{1}{x(x+1)} | right
x^{1/3} | \sqrt[3]{x} | right
(a+b)^3 | a^3+3a^2b+3ab^2+b^3 | right
a_n=2^n-1 | 2^n-1 | right
a_n=2^n-1 | a_n=2^n+1 | wrong
n^2+n | n(n+1) | right
\lfloor \frac{n}{2} \rfloor | \lfloor n/2\rfloor | right
\lfloor \frac{n}{2} \rfloor | \lceil n/2\rceil | wrong
\frac{p}{q} | \frac{q}{p} | wrong
0.5x | \frac{x}{2} | right
0.1x+0.2 | \frac{x+2}{10} | right
k\pi | \pi k | right
\frac{\pi}{4}+k\pi, k\in\mathbb{Z} | \frac{\pi}{4}+\pi k, k \in \mathbb{Z} | right
\frac{\pi}{4}+k\pi, k\in\mathbb{Z} | \frac{\pi}{4}+k\pi | wrong
\frac{\pi}{4}+k\pi | \frac{\pi}{4}+n\pi | wrong
y=\pm x | y=x, y=-x | right
x^2-y^2=1 | y^2-x^2=1 | wrong
x=2y | y=\frac{x}{2} | right
xy=1 | y=\frac1x | right
\max(a,b) | \max(b,a) | right
\{1,2,3\} | \{1,2,4\} | wrong
\{x\mid x>1\} | \{x \mid x > 1\} | right
\{x\mid x>1\} | \{x\mid x>2\} | wrong
\{x:x>1\} | (1,\infty) | right
(1,\infty) | x>1 | right
[1,2] | 1\le x\le 2 | right
[1,2] | 1\le x<2 | wrong
1\le x\le 2 | [1,2] | right
(-\infty,3] | x \le 3 | right
(-\infty,3] | x<3 | wrong
\overline{AB} | AB | wrong
\angle ABC | \angle CBA | wrong
\triangle ABC | \triangle ACB | wrong
\vec{a}+\vec{b} | \vec{b}+\vec{a} | right
\hat{i}+2\hat{j} | 2\hat{j}+\hat{i} | right
\mathbf{i}+2\mathbf{j} | 2\mathbf{i}+\mathbf{j} | wrong
x \equiv 3 \pmod 5 | x \equiv 3 \pmod 7 | wrong
x \equiv 3 \pmod 5 | x\equiv 4 \pmod 5 | wrong
2^{1000} | 2^{1001} | wrong
2^{20000} | 2^{20001} | wrong
\frac{1}{2^{20000}} | \frac{1}{2^{20001}} | wrong
\frac{1}{2^{20000}} | 2^{-20000} | right
10^{100} | 10^{101} | wrong
\log 100 | 2 | right
\log 100 | \log_{10}100 | right
e^{i\pi/3} | \frac{1+i\sqrt3}{2} | right
e^{i\pi/3} | e^{-i\pi/3} | wrong
\cos\frac{\pi}{5} | \frac{1+\sqrt5}{4} | right
\cos\frac{\pi}{5} | \frac{\sqrt5-1}{4} | wrong
\frac{\sqrt[3]{4}}{2} | \frac{1}{\sqrt[3]{2}} | right
\sqrt[3]{2}+\sqrt[3]{4} | \frac{2}{\sqrt[3]{4}}+\sqrt[3]{4} | right
\sqrt[3]{2+\sqrt5} | \frac{1+\sqrt5}{2} | right
\sqrt{2}+\sqrt{3} | \sqrt{5+2\sqrt6} | right
\sqrt{2}+\sqrt{3} | \sqrt{5-2\sqrt6} | wrong
i | -i | wrong
-i | \frac1i | right
(x-1)^2+(y-2)^2=9 | (y-2)^2+(x-1)^2=9 | right
(x-1)^2+(y-2)^2=9 | x^2+y^2-2x-4y-4=0 | right
y-2=3(x-1) | y=3x-1 | right
x>1, y<2 | y<2, x>1 | right
a=1,b=2,c=3 | (1,2,3) | right
a=1,b=2,c=3 | (a,b,c)=(1,2,3) | right
a=1,b=2,c=3 | c=3,a=1,b=2 | right
a=1,b=2,c=3 | a=1,b=3,c=2 | wrong
(a,b)=(1,2) | a=1,b=2 | right
(1,2) | x=1,y=2 | right
(1,2) | x=2,y=1 | wrong
(1,2) | (x,y)=(1,2) | right
3,4,5 | (3,4,5) | right
3,4,5 | 5,4,3 | right
8! | 40320 | right
\frac{8!}{2!} | 20160 | right
\frac{3}{4}! | 1 | wrong
A=\pi r^2 | \pi r^2 | right
\pi r^2 | \pi r | wrong
4:30 | 4:30 \text{ p.m.} | right
\text{4:30 p.m.} | 4:30 p.m. | right
\text{4:30 p.m.} | 4:30 a.m. | wrong
\frac{1}{2}, \frac{2}{4} | \frac12 | wrong
0 | -0 | right
0 | 0.0 | right
-\frac12 | \frac{-1}{2} | right
-\frac12 | \frac{1}{-2} | right
-\frac12 | \frac12 | wrong
1/2 | 2/1 | wrong
\infty | -\infty | wrong
\infty | +\infty | right
-\infty | \infty | wrong
\text{DNE} | \text{does not exist} | wrong
\$1{,}250 | 1250 | right
\$1,250 | 1250 | wrong
1,250 | \$1,250 | right
12{,}345.67 | 12345.67 | right
1.0e-3 | 0.001 | right
1e-7 | 10^{-7} | right
12 inches | 1 foot | wrong
12\text{ in} | 12\text{ inches} | right
5\text{ ft} | 5\text{ feet} | right
5\frac{1}{2}\text{ feet} | 5.5 | right
20\text{ mph} | 20\text{ miles per hour} | right
60\text{ km/h} | 60\text{ km/hr} | right
3\text{ kg} | 3\text{ g} | wrong
3\text{ L} | 3\text{ liters} | right
45\text{ square units} | 45 | right
45\text{ square units} | 45\text{ cubic units} | wrong
9\text{ units}^2 | 9\text{ square units} | right
\text{two} | 2 | wrong
\frac{\pi}{3}\text{ radians} | \frac{\pi}{3} | right
\frac{\pi}{3} | 60^\circ | wrong
60^\circ | 60 | right
60^\circ | 60^{\circ} | right
\frac{1}{2}\text{ mile} | \frac12 | right
2x+1\text{ cm} | 2x+1 | right
15\% | 0.15 | right
15\% | 15 | right
15\% | 1.5 | wrong
15\% | 1500\% | wrong
# others
12 cm | 12厘米 | right
12 cm | 12米 | wrong
6\text{ cm}^2 | 6平方厘米 | right
6\text{ cm}^2 | 6厘米 | wrong
½ | \frac12 | right
3½ | 7/2 | right
x²+1 | x^2+1 | right
∅ | \varnothing | right
(−∞,3) | x<3 | right
x ≤ 3 | (-\infty,3] | right
2√3 | \sqrt{12} | right
90° | 90 | right
π/2 | \frac{\pi}{2} | right
1 000 000 | 1000000 | right
1 000 | 1 | wrong
10 000 \text{ km} | 10000 | right
1,234,567 | 1234567 | wrong
1,234,567 | 1, 234, 567 | right
1,234,567 | 567,1,234 | right
\{7100\} | 7{,}100 | right
100,7 | 7,100 | right
3, 5, 7 | \{3,5,7\} | right
3, 5, 7 | (7,5,3) | wrong
3, 5, 7 | [3,5,7] | right
\text{(3, 5)} | (3,5) | right
(3,5) | x=3, y=5 | right
(3,5) | (3;5) | right
(3,5) | (3, 5.0) | right
(3,5) | 3,5 | right
(3,5) | (5,3) | wrong
(3,5),(5,3) | (5,3),(3,5) | right
(3,5),(5,3) | (3,5) | wrong
\{(3,5),(5,3)\} | (5,3),(3,5) | right
(3,5)\cup(7,9) | (7,9)\cup(3,5) | right
(3,5)\cup(7,9) | (3,5)\cap(7,9) | wrong
(3,5)\cup(7,9) | 3<x<5 \text{ or } 7<x<9 | right
(3,5)\cup(7,9) | (3,5) or (7,9) | right
(3,5)\cup(7,9) | x\in(3,5)\cup(7,9) | right
3<x<5 | 3 < x < 5 | right
3<x<5 | x>3 \text{ and } x<5 | right
x=2 \text{ or } x=3 | 2,3 | right
x=2 \text{ or } x=3 | x=3 \text{ or } x=2 | right
x=2 \text{ or } x=3 | x\in\{2,3\} | right
2\text{ or }3 | 2,3 | right
2\text{ or }3 | 2 | wrong
-2\le x<5 | [-2,5) | right
-2\le x<5 | (-2,5] | wrong
\frac{-1+\sqrt5}{2} | \frac{\sqrt5-1}{2} | right
\frac{-1+\sqrt5}{2} | \frac{\sqrt{5} - 1}{2} | right
0.\overline{09} | \frac{1}{11} | right
0.\overline{9} | 1 | right
2.\overline{3} | \frac{7}{3} | right
2.\overline{3} | 2.\dot3 | right
2.\overline{3} | 2.3 | wrong
2.\overline{3} | 2.333333 | right
5\times10^{-4} | 0.0005 | right
5\times10^{-4} | 5e-4 | right
5\times10^{-4} | 5 \times 10^{-5} | wrong
1.5e-4 | 0.00015 | right
3.0e8 | 3\times 10^8 | right
3.0e8 | 300000000 | right
3\times10^8 | 3 \cdot 10^{8} | right
FF_{16} | FF_{16} | right
FF_{16} | 255 | wrong
1A_{16} | 1A_{12} | wrong
\text{BED} | \text{DEB} | wrong
\text{bed} | \text{deb} | wrong
MISSISSIPPI | mississippi | wrong
ACBD | ABCD | wrong
A, C, B, D | A,B,C,D | right
A<B<C | A<C<B | wrong
A<B<C | A < B < C | right
a<b<c | a<c<b | wrong
B>A>C | A<B | wrong
A=B | B=A | right
\text{Tom}, \text{Ann} | \text{Ann, Tom} | right
\text{Tom}, \text{Ann} | \text{Tom} | wrong
\text{yes}, 5 | 5, \text{yes} | right
\text{No} | N | wrong
\text{never} | \text{always} | wrong
\text{3 and 4} | 3,4 | right
\text{red} | \text{Red} | right
\text{I} | \text{II} | wrong
II | III | wrong
IV | VI | wrong
\text{IV} | IV | right
\text{II and III} | \text{II and III} | right
5:3 | 5 : 3 | right
5:3 | 3:5 | wrong
5:3 | \frac{5}{3} | right
5:3 | 5 \text{ to } 3 | right
2:3:4 | 4:3:2 | wrong
7:05 | 7:50 | wrong
7:05 | 7:5 | wrong
7:05 \text{ PM} | 7:05 \text{ pm} | right
10:30 | 10:30:00 | right
45^\circ | 45^\circ | right
45^\circ | \frac{\pi}{4} | wrong
45^\circ | 54^\circ | wrong
\cos(36^\circ) | \cos 36^\circ | right
\cos(\theta) | \cos\theta | right
\tan 75^\circ | 2+\sqrt3 | right
\tan 75^\circ | 2-\sqrt3 | wrong
\sin 15^\circ | \frac{\sqrt6-\sqrt2}{4} | right
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1 \\ 2\end{pmatrix} | right
\begin{pmatrix}1\\2\end{pmatrix} | \begin{bmatrix} 1 \\2 \end{bmatrix} | right
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix} | wrong
\begin{pmatrix}1\\2\end{pmatrix} | \binom{1}{2} | wrong
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}^T | right
\begin{pmatrix}a&b\\c&d\end{pmatrix} | \begin{pmatrix}a&c\\b&d\end{pmatrix} | wrong
\begin{pmatrix}a&b\\c&d\end{pmatrix} | \begin{pmatrix} a & b \\[2pt] c & d \end{pmatrix} | right
\begin{pmatrix} 1/2 & 0 \\ 0 & 1/3 \end{pmatrix} | \begin{pmatrix}\frac12&0\\0&\frac13\end{pmatrix} | right
\begin{pmatrix} x^2-1 \\ 0 \end{pmatrix} | \begin{pmatrix} (x-1)(x+1) \\ 0 \end{pmatrix} | right
\left[\begin{smallmatrix}1&0\\0&1\end{smallmatrix}\right] | \begin{bmatrix}1&0\\0&1\end{bmatrix} | right
\begin{pmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \end{pmatrix} | \begin{pmatrix} 1 & 4 \\ 2 & 5 \\ 3 & 6 \end{pmatrix} | wrong
(1,-2,3) | \langle 1,-2,3 \rangle | right
(1,-2,3) | 1\mathbf{i}-2\mathbf{j}+3\mathbf{k} | wrong
20\% | 20 percent | right
20 | 20 percent | right
20 | 20\text{ percent} | right
7.5\% | 0.075 | right
7.5\% | 7.5\% | right
7.5\% | 75\% | wrong
100 | 100\% | right
1 | 100\% | right
1 | 1\% | right
\frac{3}{2} | 150\% | right
0.05 | 5\% | right
0.05 | 0.05\% | wrong
250 | 2.5\% | wrong
\binom{52}{5} | 2598960 | right
\frac{\binom{4}{2}}{\binom{52}{2}} | \frac{1}{221} | right
\frac{\binom{13}{5}\cdot 4}{\binom{52}{5}} | \frac{4\binom{13}{5}}{\binom{52}{5}} | right
\binom{100}{50}-2^{50} | \binom{100}{50} - 2^{51} | wrong
2^{98}+\binom{98}{49} | \binom{98}{49} + 2^{98} | right
\binom{2024}{3} | \binom{2024}{2021} | right
\binom{2024}{3} | \binom{2024}{4} | wrong
\frac{2024!}{2^{1000}} | \frac{2024!}{2^{1001}} | wrong
2024! | 2023! | wrong
2^{2024}-2 | 2^{2024}-1 | wrong
2^{2024}-2 | 2(2^{2023}-1) | right
3^{2024} | 9^{1012} | right
3^{2024} | 9^{1011} | wrong
\frac{3^{100}-1}{2} | \frac{3^{100}+1}{2} | wrong
(-1)^{2023} | -1 | right
1-2^{-100} | \frac{2^{100}-1}{2^{100}} | right
1-2^{-100} | 1-2^{-99} | wrong
\left(\frac{2}{3}\right)^{50} | \frac{2^{50}}{3^{50}} | right
\left(\frac{2}{3}\right)^{50} | \frac{2^{50}}{3^{51}} | wrong
e^{-100} | 0 | wrong
\sqrt{10^{-30}} | 10^{-15} | right
\sqrt{10^{-30}} | 10^{-16} | wrong
\pi\times10^{-7} | 4\pi\times10^{-7} | wrong
\arctan\frac{1}{2} | \arctan 2 | wrong
\arcsin\frac{1}{3} | \sin^{-1}\frac13 | right
\frac{\pi}{6}+2k\pi | 2k\pi+\frac{\pi}{6} | right
\frac{\pi}{6}+2k\pi | \frac{\pi}{6}+k\pi | wrong
2^{\frac{1}{3}} | \sqrt[3]{2} | right
\sqrt[4]{8} | 2^{3/4} | right
# words around a value
\frac{1}{2} | \text{The probability is } \frac{1}{2} | right
\frac{1}{2} | \text{The probability is not } \frac{1}{2} | wrong
72 | \text{Total: } 72 | right
72 | \text{one less than: } 72 | wrong
72 | \text{approximately } 72 | right
72 | \text{more than }72 | wrong
13 | 13 \text{ more apples} | right
13 | 13 \text{ times as many} | right
13 | 13 \text{ marbles left over} | right
13 | 13 \text{ over two} | wrong
13 | 13 \text{ times seven} | wrong
13 | 13 \text{ maybe} | wrong
13 | 13 \text{ more than Tom} | wrong
5 | x \approx 5 | right
694 | 694 \text{ calories} \approx 700 | wrong
# currencies and rates
13 | \text{Rs. }13 | right
13 | 13€ | right
13 | \text{USD } 13 | right
13 | 13¢ | right
\$13 | 13¢ | wrong
\$13 | €13 | wrong
13 | \$13/\text{hour} | right
60 | 60\,\frac{\text{miles}}{\text{hour}} | right
10\text{ m/s} | 10\text{ m s}^{-1} | right
10\text{ m/s} | 10\text{ m s}^{-2} | wrong
20 | 20\% \text{ of the students} | right
25\% | 25\text{ cm} | wrong
\$36 | 36\% | wrong
10\text{ cm} | 10\% | wrong
# names, primes and the case of letters
\frac{1}{2} | P(\text{sum} = 7) = \frac{1}{2} | right
\frac{x+2}{7} | f^{-1}(x) = \frac{x+2}{7} | right
4 | x^{-1} = 4 | wrong
\begin{pmatrix}1&2\\3&4\end{pmatrix} | A^{-1} = \begin{pmatrix}1&2\\3&4\end{pmatrix} | right
4 | 4 = x | right
4 | 4 = 5 | wrong
(1,2) | y=2, x=1 | right
(1,2) | y=1, x=2 | wrong
(1,2) | m=1, b=2 | right
f'(x) | f(x) | wrong
y''=2 | y'=2 | wrong
90^\circ | 90' | wrong
f'(x)=2x | f^\prime(x)=2x | right
\frac{abc}{4R} | \frac{abc}{4r} | wrong
3\pi r^2 | 3\pi R^2 | wrong
x^2+C | x^2+c | right
# lists and systems
1,3,5 | 1, 3, \text{ and } 5 | right
1,3,5 | 1, 3, and 6 | wrong
1,3,5 | x=1, x=3, \text{ or } x=5 | right
1,2 | x=1 \lor x=2 | right
(1,2) | \begin{cases} x = 1 \\ y = 2 \end{cases} | right
(1,2) | \left\{\begin{array}{l} x = 2 \\ y = 1 \end{array}\right. | wrong
(1,1),(2,4) | (a,b) \in \{(1,1),(2,4)\} | right
11,\! 111,\! 100 | 11111100 | right
# intervals and domains of variables
[1,2) | 1 \le x < 2 | right
[1,2) | 1 < x \le 2 | wrong
(-3,3) | -3 < x < 3 | right
(-3,3) | |x| \le 3 | wrong
(-\infty,2)\cup(3,\infty) | (-\infty,2) U (3,\infty) | right
2k\pi | 2k\pi, \quad k \in \mathbb{Z} | right
2k\pi, k\in\mathbb{Z} | x = 2\pi k \ (k \in \mathbb{Z}) | right
2k\pi, k\in\mathbb{Z} | 2k\pi, k\in\mathbb{N} | wrong
f(x)=x | f(x)=x \text{ for all } x \in \mathbb{R} | right
\mathbb{R} | \text{all real numbers} | right
\text{no solution} | \emptyset | right
\text{no real solutions} | \text{There are no real solutions} | right
\text{no solution} | 0 | wrong
# older and other notations
\frac{3}{4} | {3\over 4} | right
\frac{3}{4} | {4\over 3} | wrong
\log_{10} 2 | \lg 2 | right
\ln 2 | \lg 2 | wrong
\ln 2 | \log_e 2 | right
\infty | \text{infinity} | right
1:00 \text{ p.m.} | 1 \text{ p.m.} | right
1:00 \text{ p.m.} | 1 \text{ a.m.} | wrong
5 | 5 \text{ p.m.} | right
C | \text{Option C} | right
C | \text{Option D} | wrong
\text{parabola} | \text{a parabola} | right
"""


def pairs_by_kind():
    """Kind -> [(reference answer, answer, whether it is right)]."""
    kinds = {}
    for line in PAIRS.strip().splitlines():
        if line.startswith("#"):
            pairs = kinds.setdefault(line[2:], [])
        else:
            reference, answer, truth = line.split(" | ")
            pairs.append((reference, answer, truth == "right"))
    return kinds


@pytest.mark.parametrize(("kind", "pairs"), pairs_by_kind().items())
def test_right_answers_are_right_and_near_ones_wrong(kind, pairs):
    assert [pair for pair in pairs if (verdict(*pair[:2]) == "correct") != pair[2]] == []

// Elementary functions that compilers can make vectors of: no branches, no calls.
//
// e^x - 1 = 2^n (e^r - 1) + 2^n - 1 and sin x = ±sin(x - n pi), with n a nearest whole number, and series in
// what is left. Adding MAGIC rounds, and leaves n in the last bits.
namespace own {

template <class number> struct Constants;

template <> struct Constants<float> {
  typedef unsigned bits;
  static constexpr int MANTISSA = 23, BIAS = 127, SIGN = 31, EXPONENTIAL = 8, SINE = 7;
  static constexpr float MAGIC = 12582912.0f, LEAST = -86.0f, MOST = 88.72283f;
  static constexpr float LN2 = 0.69314718055994531f, LN2_REST = -1.9046542e-9f;
  static constexpr float PI = 3.14159265358979324f, PI_REST = -8.7422777e-8f;
  static float added(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
};

template <> struct Constants<double> {
  typedef unsigned long long bits;
  static constexpr int MANTISSA = 52, BIAS = 1023, SIGN = 63, EXPONENTIAL = 14, SINE = 12;
  static constexpr double MAGIC = 6755399441055744.0, LEAST = -708.0, MOST = 709.782712893384;
  static constexpr double LN2 = 0.69314718055994531, LN2_REST = 2.3190468138462996e-17;
  static constexpr double PI = 3.14159265358979312, PI_REST = 1.2246467991473532e-16;
  static double added(double a, double b, double c) { return __builtin_fma(a, b, c); }
};

template <class number>
static inline number powers_of_2(number rounded, int shift) {
  typename Constants<number>::bits bits;
  __builtin_memcpy(&bits, &rounded, sizeof bits);
  bits = (bits + Constants<number>::BIAS + shift) << Constants<number>::MANTISSA;
  number power;
  __builtin_memcpy(&power, &bits, sizeof bits);
  return power;
}

// Half of 2^n, of which 2^n itself may be too large, and e^r - 1.
template <class number> struct Exponential { number half, rest; };

template <class number>
static inline Exponential<number> exponential(number x) {
  typedef Constants<number> C;
  const number bounded = x < C::LEAST ? C::LEAST : x > C::MOST ? C::MOST : x;
  const number rounded = bounded * (1 / C::LN2) + C::MAGIC, n = rounded - C::MAGIC;
  const number r = C::added(-n, C::LN2_REST, C::added(-n, C::LN2, bounded));
  number series = 1;
  UNROLLED for (int i = C::EXPONENTIAL; i > 1; --i) series = C::added(series, r * (number(1) / i), number(1));
  return {powers_of_2(rounded, -1), series * r};
}

template <class number>
static inline number exp(number x) {
  const Exponential<number> e = exponential(x);
  const number value = 2 * Constants<number>::added(e.half, e.rest, e.half);
  return x > Constants<number>::MOST ? number(__builtin_inf()) : x < Constants<number>::LEAST ? 0 : value;
}

template <class number>
static inline number expm1(number x) {
  const Exponential<number> e = exponential(x);
  const number value = 2 * Constants<number>::added(e.half, e.rest, e.half - number(0.5));
  return x > Constants<number>::MOST ? number(__builtin_inf()) : value;
}

template <class number>
static inline number sigmoid(number x) {
  return 1 / (1 + exp(-x));
}

template <class number>
static inline number tanh(number x) {
  const number twice = expm1(x > 20 ? number(40) : 2 * x);
  return twice / (twice + 2);
}

template <class number>
static inline number turned(number x, number rounded, number n) {
  typedef Constants<number> C;
  const number r = C::added(-n, C::PI_REST, C::added(-n, C::PI, x)), square = r * r;
  number series = 1;
  UNROLLED for (int i = C::SINE; i > 0; --i)
    series = C::added(series, -square * (number(1) / (2 * i * (2 * i + 1))), number(1));
  typename C::bits sign, bits;
  __builtin_memcpy(&sign, &rounded, sizeof sign);
  const number value = r * series;
  __builtin_memcpy(&bits, &value, sizeof bits);
  bits ^= sign << C::SIGN;
  number result;
  __builtin_memcpy(&result, &bits, sizeof bits);
  return result > 1 ? 1 : result < -1 ? -1 : result;
}

template <class number>
static inline number sin(number x) {
  const number rounded = x * (1 / Constants<number>::PI) + Constants<number>::MAGIC;
  return turned(x, rounded, rounded - Constants<number>::MAGIC);
}

template <class number>
static inline number cos(number x) {
  const number rounded = (x * (1 / Constants<number>::PI) + number(0.5)) + Constants<number>::MAGIC;
  return turned(x, rounded, rounded - Constants<number>::MAGIC - number(0.5));
}

}  // namespace own
